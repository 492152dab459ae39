"""Check: among equal priorities, first in is first out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from dcompute_sim.checks.check import Check, CheckOutcome, failed, held, inconclusive
from dcompute_sim.checks.queue import takes, unseen
from dcompute_sim.trace import Event


class FifoWithinPriority(Check):
    """At each take, no task of the same priority had been received earlier by that node and was waiting.

    Limit: order of arrival at the node; the broker may deliver out of the order of sending only to another
    node. A run in which no two tasks of one priority ever waited together is inconclusive.
    """

    name: ClassVar[str] = "fifo_within_priority"
    occasion: ClassVar[str] = (
        "two tasks of one priority that wait at one node: a faster stream, or longer `work`"
    )

    def judge(self, trace: Sequence[Event]) -> CheckOutcome:
        total = choices = overtakes = 0
        offending: list[Event] = []
        for take in takes(trace):
            total += 1
            peers = [task for task in take.waiting if task.priority == take.event.priority]
            choices += len(peers) > 1
            if take.received is None or (peers and peers[0] is not take.received):
                overtakes += 1
                offending += [*peers[:1], take.event]
        figures = {"takes": total, "with_a_choice": choices, "overtakes": overtakes}
        if overtakes:
            return failed(f"{overtakes} of {total} takes overtook an earlier task", offending, figures)
        if not_known := unseen(trace):
            return inconclusive(f"{total} takes in order; {not_known}", figures)
        if not choices:
            return inconclusive(f"none of {total} takes had two tasks of one priority waiting", figures)
        return held(f"{total} takes first in, first out, {choices} of them with a choice", figures)
