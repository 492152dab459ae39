"""Check: a node always takes the most urgent task it has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from dcompute_sim.checks.check import Check, CheckOutcome, failed, held, inconclusive
from dcompute_sim.checks.queue import takes, unseen
from dcompute_sim.trace import Event


class PriorityOrder(Check):
    """At each take, nothing of higher priority had been received by that node and was waiting.

    A take that had no other priority to choose from proves nothing; a run without any real choice is
    inconclusive. Limit: tasks on their way to the node do not count as waiting.
    """

    name: ClassVar[str] = "priority_order"
    occasion: ClassVar[str] = (
        "tasks of several priorities that wait at one node: `priority: {10: 1, 1: 3}`, a faster "
        "stream, or longer `work`"
    )

    def judge(self, trace: Sequence[Event]) -> CheckOutcome:
        total = choices = inversions = 0
        offending: list[Event] = []
        for take in takes(trace):
            total += 1
            choices += len({task.priority for task in take.waiting}) > 1
            if take.received is None:
                inversions += 1
                offending.append(take.event)
                continue
            passed_over = [task for task in take.waiting if task.priority > take.event.priority]
            if passed_over or take.received.priority != take.event.priority:
                inversions += 1
                offending += [*passed_over[:1], take.event]
        figures = {"takes": total, "with_a_choice": choices, "inversions": inversions}
        if inversions:
            return failed(f"{inversions} of {total} takes out of order", offending, figures)
        if not_known := unseen(trace):
            return inconclusive(f"{total} takes in order; {not_known}", figures)
        if not choices:
            return inconclusive(f"none of {total} takes had different priorities to choose from", figures)
        return held(f"{total} takes in order, {choices} of them with a choice", figures)
