"""Check: what the broker retains about each node is true."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from dcompute.parts import noun, number_of
from dcompute_sim.checks.check import Check, CheckOutcome, failed, held, inconclusive
from dcompute_sim.checks.ending import Ending, about_mute, about_wills, endings, left_out
from dcompute_sim.trace import Event


class RetainedConsistent(Check):
    """A fresh client reads, from the retained statuses, the truth about every node.

    Running nodes: their own status and incarnation; the others: `dead` or `offline`, or nothing, where the
    master was told to forget them (`forgets`). A retained `dead` that outlives a recovery misleads whoever
    starts next. Excused are deaths of programs whose group says that they mean their last will not to be
    retained (`will: optional`). Limit: read once, at the end of the run.
    """

    name: ClassVar[str] = "retained_consistent"
    occasion: ClassVar[str] = "nodes that say their status, and a run that comes to its end"

    def judge(self, trace: Sequence[Event]) -> CheckOutcome:
        found = endings(trace)
        judged = [ending for ending in found if ending.is_kept]
        late = left_out(found, judged)
        read = [ending for ending in judged if ending.retained is not None]
        wrong = [ending for ending in judged if not ending.mute and not _true(ending)]
        figures = {"nodes": len(judged), "wrong": len(wrong)}
        if not read:
            return inconclusive("no retained status was read at the end", figures)
        if wrong:
            return failed(
                f"{len(wrong)} of "
                f"{number_of(len(judged), 'retained status', 'retained statuses')} "
                f"{noun(len(wrong), 'is', 'are')} wrong{about_wills(wrong)}{late}",
                [ending.retained or ending.node for ending in wrong],
                figures,
            )
        if unknown := about_mute(judged):
            return inconclusive(unknown, figures)
        return held(
            f"{number_of(len(judged), 'retained status', 'retained statuses')}, all true{late}", figures
        )


def _true(ending: Ending) -> bool:
    retained = ending.retained
    if retained is None or not ending.accepts(retained.status):
        return False
    return not ending.reachable or retained.inc in ("", ending.node.inc)
