"""Fault: the board restarts itself."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dcompute_sim.faults.effects import BOOTED, FIN, RST, SILENCE
from dcompute_sim.faults.fault import NodeFault, Seen, Steps
from dcompute_sim.faults.injection import Injection
from dcompute_sim.yamlfile.units import Duration


class Reboot(NodeFault):
    """The board restarts itself (`machine.reset`): silence, then a new boot."""

    seen = Seen.SILENCE
    stops = True
    effects = SILENCE | {FIN, RST, BOOTED}

    kind: Literal["reboot"]
    restart_after: Duration = Field(default=2.0, description="How long the boot takes.")

    def inject(self, act: Injection) -> Steps:
        act.node.power_cut("reboot")
        return act.lasting(act.node.power_on)
