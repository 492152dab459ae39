"""A kind of fault that nobody but this file knows, as a user would write one."""

from __future__ import annotations

import random
from types import MappingProxyType
from typing import Any, Literal

from dcompute_sim.faults.effects import SILENCE, Effect
from dcompute_sim.faults.fault import For, NodeFault, Platform, Seen, Steps
from dcompute_sim.faults.injection import Injection
from dcompute_sim.yamlfile.units import Bandwidth, format_bandwidth
from pydantic import Field

WARM = Effect("the soup is warm")


class MicrowaveOven(NodeFault):
    """Somebody warms up soup beside the board: its Wi-Fi drowns, and its WLAN notices nothing."""

    seen = Seen.SILENCE
    effects = SILENCE | {WARM}
    impossible = MappingProxyType({Platform.REAL_BOARD: "no oven is connected to this machine"})
    colour = "#123456"

    kind: Literal["microwave_oven"]
    noise: Bandwidth = Field(default=1000.0, description="How much of it.")
    heal_after: For

    def inject(self, act: Injection) -> Steps:
        act.target.silence(known=False, for_s=self.heal_after)
        yield from act.lasting(lambda: act.target.heal(known=False))

    def details(self) -> str:
        return f"noise {format_bandwidth(self.noise)}"

    @classmethod
    def draw(cls, rng: random.Random, left_s: float) -> dict[str, Any]:
        return {"noise": f"{rng.randint(1, 9)}KiB/s"}
