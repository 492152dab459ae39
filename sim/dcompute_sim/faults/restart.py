"""Fault: a node's program is restarted, as for a new version of it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dcompute_sim.faults.effects import LEFT
from dcompute_sim.faults.fault import NodeFault, Steps
from dcompute_sim.faults.injection import Injection
from dcompute_sim.faults.schedule import When
from dcompute_sim.yamlfile.units import Duration


class Restart(NodeFault):
    """The node's program is restarted: it leaves in good order, and once it has ended starts again."""

    effects = frozenset({LEFT})
    stops = True
    leaves = True
    needs_hooks = True
    ours_only = True
    unseen, remedy = "the program did not end", "`sure: true` waits for a node with a connection"

    kind: Literal["restart"]
    restart_after: Duration = Field(default=0.5, description="How long after its end it starts again.")

    def inject(self, act: Injection) -> Steps:
        gone = act.world.next(When(event="node_stopped", node=act.whom, where={"how": "exit"}))
        act.node.leave()
        yield gone
        yield from act.lasting(act.node.power_on)
