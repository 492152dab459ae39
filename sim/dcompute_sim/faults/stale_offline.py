"""Fault: a node's last word arrives when it has long been back."""

from __future__ import annotations

import json
from typing import Literal

from pydantic import Field

from dcompute.node_core import OFFLINE
from dcompute_sim.faults.effects import PUBLISHED
from dcompute_sim.faults.fault import NodeFault, Steps
from dcompute_sim.faults.injection import Injection
from dcompute_sim.faults.schedule import When
from dcompute_sim.yamlfile.units import Duration, format_duration


class StaleOffline(NodeFault):
    """The node is restarted, and when it is back its `offline` from before arrives, retained, once more."""

    effects = frozenset({PUBLISHED})
    stops = True
    leaves = True
    needs_hooks = True
    ours_only = True
    unseen = "the broker did not acknowledge the message"
    remedy = "`sure: true` publishes it again until it does"

    kind: Literal["stale_offline"]
    delay: Duration = Field(default=0.5, description="How long after the node is back it arrives.")

    def inject(self, act: Injection) -> Steps:
        node, inc = act.whom, act.node.inc
        gone = act.world.next(When(event="node_stopped", node=node, where={"how": "exit"}))
        act.node.leave()
        yield gone
        back = act.world.next(When(event="node_connected", node=node))
        act.node.power_on()
        yield back
        yield act.env.timeout(self.delay)
        said = json.dumps({"node_id": act.node.node_id, "status": OFFLINE, "inc": inc}).encode()
        yield from act.publish(act.world.topics.status_of(act.node.node_id), said, qos=1, retain=True)

    def details(self) -> str:
        return f"{format_duration(self.delay)} after the node is back"
