"""Check: no node lets an endless queue of tasks build up, and none turns away what it has room for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from dcompute.parts import noun, number_of
from dcompute_sim import trace as t
from dcompute_sim.checks.check import Check, CheckOutcome, failed, held, inconclusive, of_kinds
from dcompute_sim.checks.queue import OF_QUEUES, unseen
from dcompute_sim.trace.replayer import Replay

_FULL = "queue full"


class BoundedQueue(Check):
    """No node ever has more tasks waiting than it may, and none drops a task for a queue that is not full.

    How many may wait a node declares itself (`queue_limit`, or what its kind has by default).

    Limit: counts what a node reports as received and taken; what it drops for want of room never waited. Of a
    program of somebody else nothing is declared: it is judged by `limit` alone.
    """

    name: ClassVar[str] = "bounded_queue"
    occasion: ClassVar[str] = "tasks that reach a node: a stream under `workload:`"

    limit: int | None = Field(
        default=None, ge=1, description="Tasks waiting on one node; what it declares when left out."
    )

    def judge(self, trace: Sequence[t.Event]) -> CheckOutcome:
        replay = Replay()
        declared: dict[str, int] = {}
        above: list[t.Event] = []
        early: list[t.Event] = []
        peak = dropped = 0
        not_known = unseen(trace)
        for event in of_kinds(OF_QUEUES | {t.NodeDefined}, trace):
            replay.take_in(event)
            match event:
                case t.NodeDefined(node=node) if event.queue_limit:
                    declared[node] = event.queue_limit
                case t.TaskDropped(node=node):
                    dropped += 1
                    if event.reason == _FULL and len(replay.nodes[node].waiting) < declared.get(node, 0):
                        early.append(event)
                case t.TaskReceived(node=node) if node not in not_known.nodes:
                    waiting = len(replay.nodes[node].waiting)
                    peak = max(peak, waiting)
                    if waiting > (self.limit or declared.get(node, waiting)):
                        above.append(event)
        allowed = str(self.limit) if self.limit else "as many as they declare"
        figures = {"peak": peak, "limit": self.limit or 0, "dropped": dropped, "dropped_early": len(early)}
        told = f"at most {number_of(peak, 'task')} waiting on a node ({allowed} allowed)"
        if early:
            told = (
                f"{len(early)} of {number_of(dropped, 'task')} "
                f"{noun(len(early), 'was', 'were')} dropped from queues that had room; {told}"
            )
        if above or early:
            return failed(told, [*above, *early], figures)
        if not_known:
            return inconclusive(f"{told if peak else 'no other node received a task'}; {not_known}", figures)
        if not peak:
            return inconclusive("no node received a task", figures)
        if not self.limit and not declared:
            return inconclusive("no node declares how many tasks may wait: say `limit`", figures)
        return held(told, figures)
