"""Check: no node lets an endless queue of tasks build up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from dcompute_sim import trace as t
from dcompute_sim.checks.check import Check, CheckOutcome, failed, held, inconclusive


class BoundedQueue(Check):
    """No node ever has more than `limit` tasks waiting.

    Limit: counts what a node reports as received and taken; what it drops for want of room never waited.
    """

    name: ClassVar[str] = "bounded_queue"

    limit: int = Field(ge=1, description="Tasks waiting on one node.")

    def judge(self, trace: Sequence[t.Event]) -> CheckOutcome:
        waiting: dict[str, int] = {}
        above: list[t.Event] = []
        peak = dropped = 0
        for event in trace:
            match event:
                case t.TaskReceived(node=node):
                    waiting[node] = waiting.get(node, 0) + 1
                    peak = max(peak, waiting[node])
                    if waiting[node] > self.limit:
                        above.append(event)
                case t.TaskTaken(node=node):
                    waiting[node] = max(0, waiting.get(node, 0) - 1)
                case t.TaskDropped():
                    dropped += 1
                case t.NodeStarted(node=node):
                    waiting[node] = 0
        figures = {"peak": peak, "limit": self.limit, "dropped": dropped}
        told = f"at most {peak} tasks waiting on a node ({self.limit} allowed)"
        if not peak:
            return inconclusive("no node received a task", figures)
        return failed(told, above, figures) if above else held(told, figures)
