"""Fault: a node finishes what it has begun, and leaves."""

from __future__ import annotations

from types import MappingProxyType
from typing import Literal

from dcompute_sim.faults.effects import LEFT
from dcompute_sim.faults.fault import NodeFault, Platform, RestartAfter, Steps
from dcompute_sim.faults.injection import Injection

_WHY = "a board has no such way to leave"


class Drain(NodeFault):
    """The node finishes what is at work there, takes no more, gives back what waits, and leaves: as
    `dcompute node` does on SIGTERM."""

    effects = frozenset({LEFT})
    stops = True
    leaves = True
    drawn = False  # `leave` is
    ours_only = True
    impossible = MappingProxyType(
        {Platform.EMULATED: _WHY, Platform.VIRTUAL_BOARD: _WHY, Platform.REAL_BOARD: _WHY}
    )
    unseen, remedy = "the program did not end", "`sure: true` waits for a node with a connection"
    colour = "#546e7a"

    kind: Literal["drain"]
    restart_after: RestartAfter

    def inject(self, act: Injection) -> Steps:
        act.node.drain()
        return act.lasting(act.node.power_on)
