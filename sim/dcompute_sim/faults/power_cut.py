"""Fault: the board loses power."""

from __future__ import annotations

from types import MappingProxyType
from typing import Literal

from dcompute_sim.faults.effects import SILENCE
from dcompute_sim.faults.fault import NodeFault, Platform, RestartAfter, Seen, Steps
from dcompute_sim.faults.injection import Injection


class PowerCut(NodeFault):
    """The board loses power: silence, no goodbye of any kind."""

    seen = Seen.SILENCE
    stops = True
    effects = SILENCE
    impossible = MappingProxyType(
        {Platform.REAL_BOARD: "no software cuts the power of a real board (a virtual one's, yes)"}
    )
    colour = "#7b1fa2"

    kind: Literal["power_cut"]
    restart_after: RestartAfter

    def inject(self, act: Injection) -> Steps:
        act.node.power_cut()
        return act.lasting(act.node.power_on)
