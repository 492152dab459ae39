"""Fault: what was said to a node, or by it, comes once more, when it is long out of date."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Literal

from pydantic import Field

from dcompute_sim.faults.effects import PUBLISHED
from dcompute_sim.faults.fault import For, NodeFault, Steps
from dcompute_sim.faults.injection import Injection
from dcompute_sim.yamlfile.units import Duration, format_duration


class Redelivery(NodeFault):
    """Each message for the node, or each status or answer of it, comes once more, `delay` later, whatever was
    said meanwhile: out of a bridge, or a cluster of brokers, that repeats and reorders."""

    effects = frozenset({PUBLISHED})
    unseen = "nothing was said to the node, or by it"
    remedy = "work for the node, or `sure: true`"
    needs_connection = False
    drawn = False  # one broker on its own does not

    kind: Literal["redelivery"]
    heal_after: For
    of: Literal["tasks", "statuses", "answers"] = Field(
        default="tasks",
        description="`tasks`: what the node is asked. `statuses`: what it says of itself. `answers`: what it "
        "tells executors.",
    )
    delay: Duration = Field(default=5.0, description="How much later.")

    def inject(self, act: Injection) -> Steps:
        def heard(topic: str, payload: bytes) -> list[tuple[str, bytes]]:
            if self.of == "answers" and json.loads(payload).get("node_id") != node:
                return []
            act.effect(PUBLISHED, f"published {len(payload)} bytes to {topic} once more")
            return [(topic, payload)]

        topics, node = act.world.topics, act.node.node_id
        topic = {
            "tasks": topics.task_of(node),
            "statuses": topics.status_of(node),
            "answers": f"{topics.results}/+",
        }[self.of]
        leave: Callable[[], None] = yield from act.world.eavesdrop(
            act.key, [topic], heard, delay_s=self.delay
        )
        yield from act.lasting(leave)

    def details(self) -> str:
        return f"of {self.of}, {format_duration(self.delay)} later"
