"""Fault: a node leaves in good order."""

from __future__ import annotations

from typing import Literal

from dcompute_sim.faults.effects import LEFT
from dcompute_sim.faults.fault import NodeFault, RestartAfter, Steps
from dcompute_sim.faults.injection import Injection


class Leave(NodeFault):
    """The node leaves in good order, as on SIGTERM, Ctrl-C or `stop()`: `offline`, DISCONNECT, no will."""

    effects = frozenset({LEFT})
    stops = True
    leaves = True
    needs_hooks = True
    ours_only = True
    unseen, remedy = "the program did not end", "`sure: true` waits for a node with a connection"
    colour = "#546e7a"

    kind: Literal["leave"]
    restart_after: RestartAfter

    def inject(self, act: Injection) -> Steps:
        act.node.leave()
        return act.lasting(act.node.power_on)
