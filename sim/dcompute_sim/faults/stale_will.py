"""Fault: an old connection's will arrives when its node has long been back."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dcompute.protocol import encode_dead
from dcompute_sim.faults.effects import PUBLISHED
from dcompute_sim.faults.fault import NodeFault, Seen, Steps
from dcompute_sim.faults.injection import Injection
from dcompute_sim.faults.schedule import When
from dcompute_sim.yamlfile.units import Duration, format_duration


class StaleWill(NodeFault):
    """The connection breaks, the node is back, and then the old connection's will arrives."""

    seen = Seen.MAY_BREAK
    momentary = True
    effects = frozenset({PUBLISHED})
    unseen = "the broker did not acknowledge the message"
    remedy = "`sure: true` publishes it again until it does"

    kind: Literal["stale_will"]
    delay: Duration = Field(default=0.5, description="How long after the node is back the old will arrives.")

    def inject(self, act: Injection) -> Steps:
        node = act.target.name
        old_inc = act.node.inc
        back = act.world.next(When(event="node_connected", node=node))
        act.link.reset_connections()
        yield back
        yield act.env.timeout(self.delay)
        topic = act.world.topics.status_of(act.node.node_id)
        yield from act.publish(topic, encode_dead(act.node.node_id, old_inc), qos=1, retain=True)

    def details(self) -> str:
        return f"{format_duration(self.delay)} after the node is back"
