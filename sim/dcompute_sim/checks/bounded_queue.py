"""Check: no node lets an endless queue of tasks build up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from dcompute_sim import trace as t
from dcompute_sim.checks.check import Check, CheckOutcome, failed, held, inconclusive, of_kinds
from dcompute_sim.checks.queue import OF_QUEUES, unseen
from dcompute_sim.trace.replayer import Replay


class BoundedQueue(Check):
    """No node ever has more than `limit` tasks waiting.

    Limit: counts what a node reports as received and taken; what it drops for want of room never waited.
    """

    name: ClassVar[str] = "bounded_queue"
    occasion: ClassVar[str] = "tasks that reach a node: a stream under `workload:`"

    limit: int = Field(ge=1, description="Tasks waiting on one node.")

    def judge(self, trace: Sequence[t.Event]) -> CheckOutcome:
        replay = Replay()
        above: list[t.Event] = []
        peak = dropped = 0
        not_known = unseen(trace)
        for event in of_kinds(OF_QUEUES, trace):
            replay.take_in(event)
            dropped += isinstance(event, t.TaskDropped)
            if isinstance(event, t.TaskReceived) and event.node not in not_known.nodes:
                waiting = len(replay.nodes[event.node].waiting)
                peak = max(peak, waiting)
                if waiting > self.limit:
                    above.append(event)
        figures = {"peak": peak, "limit": self.limit, "dropped": dropped}
        told = f"at most {peak} tasks waiting on a node ({self.limit} allowed)"
        if not_known and not above:
            return inconclusive(f"{told if peak else 'no other node received a task'}; {not_known}", figures)
        if not peak:
            return inconclusive("no node received a task", figures)
        return failed(told, above, figures) if above else held(told, figures)
