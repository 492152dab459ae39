"""Fault: a link that goes down and up, again and again."""

from __future__ import annotations

import random
from typing import Literal

from pydantic import Field

from dcompute.parts import number_of
from dcompute_sim.faults.effects import DROPPED, FIN, RST
from dcompute_sim.faults.fault import MORE_TO_SAY, UNSEEN_SILENCE, NodeFault, Seen, Steps
from dcompute_sim.faults.injection import Injection
from dcompute_sim.yamlfile.units import Duration, format_duration
from dcompute_sim.yamlfile.yaml_model import Count


class Flap(NodeFault):
    """The link goes down and up, again and again."""

    seen = Seen.MAY_BREAK
    effects = DROPPED | {RST, FIN}
    unseen, remedy = UNSEEN_SILENCE, MORE_TO_SAY
    needs_connection = False

    kind: Literal["flap"]
    cycles: Count = Field(default=10, description="How many times it goes down.")
    down: Duration = Field(default=0.2, description="How long it is down each time.")
    up: Duration = Field(default=0.2, description="How long it is up in between.")

    def inject(self, act: Injection) -> Steps:
        target = act.target
        for _ in range(self.cycles):
            target.silence(known=True, for_s=self.down)
            yield act.env.timeout(self.down)
            target.heal(known=True)
            yield act.env.timeout(self.up)
        if self.sure and not act.receipts.has_bitten(act.name):
            target.silence(known=True, for_s=act.over_s - act.env.now)
            yield from act.until_felt()
            target.heal(known=True)
        act.ended()

    def details(self) -> str:
        return (
            f"{number_of(self.cycles, 'time')} down {format_duration(self.down)}, up "
            f"{format_duration(self.up)}"
        )

    @classmethod
    def draw(cls, rng: random.Random, left_s: float) -> dict[str, object]:
        """Draw one as long as it may be: what it missed while it was up, it must still be able to hit."""
        down = rng.uniform(0.05, 1)
        cycles = min(rng.randint(2, 20), int(left_s / (down + 0.2)))
        return {"cycles": max(1, cycles), "down": format_duration(round(down, 3)), "up": "200ms"}
