"""Check: a result arrives as it was sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from dcompute_sim.checks.check import Check, CheckOutcome, failed, held, inconclusive
from dcompute_sim.trace import Event, Participants, ResultHeld, ResultReceived


class ResultsMatch(Check):
    """Every result the master received is one that this node handed over for this task, value for value.

    Values are compared by digest. Limit: a result whose node gives no digest is only matched by its task.
    """

    name: ClassVar[str] = "results_match"

    def judge(self, trace: Sequence[Event]) -> CheckOutcome:
        who = Participants(trace)
        given: dict[tuple[str, str], set[str]] = {}
        wrong: list[Event] = []
        received = compared = 0
        for event in trace:
            match event:
                case ResultHeld(node=node, task=task, digest=digest):
                    given.setdefault((who.owner(node), task), set()).add(digest)
                case ResultReceived(node=node, task=task, digest=digest):
                    received += 1
                    digests = given.get((node, task), set())
                    comparable = bool(digest) and "" not in digests
                    compared += comparable
                    if not digests or (comparable and digest not in digests):
                        wrong.append(event)
        figures = {"received": received, "compared": compared, "wrong": len(wrong)}
        if wrong:
            return failed(f"{len(wrong)} of {received} results are not what their node sent", wrong, figures)
        if not compared:
            return inconclusive(f"none of {received} results could be compared", figures)
        return held(f"{compared} of {received} results compared, all as they were sent", figures)
