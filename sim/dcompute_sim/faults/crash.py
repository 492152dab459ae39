"""Fault: the program dies."""

from __future__ import annotations

from typing import Literal

from dcompute_sim.faults.effects import FIN, RST
from dcompute_sim.faults.fault import NodeFault, RestartAfter, Seen, Steps
from dcompute_sim.faults.injection import Injection


class Crash(NodeFault):
    """The program dies; its kernel closes the connection (FIN)."""

    seen = Seen.CLOSED
    stops = True
    effects = frozenset({FIN, RST})
    colour = "#2f4b9e"

    kind: Literal["crash"]
    restart_after: RestartAfter

    def inject(self, act: Injection) -> Steps:
        act.node.crash()
        return act.lasting(act.node.power_on)
