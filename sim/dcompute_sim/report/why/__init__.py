"""Why an expectation did not hold, in a few sentences: who, how many, what they share, what led to it.

Rules:

1. Each module answers one question from the trace alone, as the checks do: why unfinished, why dead, why
   late, why out of order, why not booted, who was away at the end, who threw whom out. It gives sentences, or
   none where it has nothing to say.
2. It never judges. What is counted here is what the check found wrong, so the figures agree with its summary.
3. Common causes come first: of 978 tasks the one sentence that holds for 950, then what holds for the rest.
4. A sentence names a cause only where the trace shows it: a fault that was on, a message that was dropped, a
   connection that ended. Where it shows none, the sentence says what was seen last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from dcompute_sim import trace as t
from dcompute_sim.checks.check import CHECKS, Status
from dcompute_sim.checks.verdict import Result
from dcompute_sim.report.why.away import away
from dcompute_sim.report.why.dead import dead
from dcompute_sim.report.why.late import late
from dcompute_sim.report.why.not_booted import not_booted
from dcompute_sim.report.why.order import order
from dcompute_sim.report.why.rivals import rivals
from dcompute_sim.report.why.unfinished import unfinished

Explain = Callable[[Sequence[t.Event], Result], list[str]]

_OF: Mapping[str, Explain] = {
    "all_tasks_finished": unfinished,
    "no_lost_tasks": unfinished,
    "no_lost_results": unfinished,
    "done_once": unfinished,
    "dead_within": dead,
    "no_false_deaths": dead,
    "callback_once": dead,
    "final_status": dead,
    "latency": late,
    "priority_order": order,
    "fifo_within_priority": order,
}


def why(events: Sequence[t.Event], result: Result) -> list[str]:
    """Return what led to a result that is not held; [] for one that is, and where nothing more is known."""
    if result.outcome.status is Status.HELD:
        return []
    told = [*not_booted(events), *away(events), *rivals(events)]
    explain = _OF.get(result.name)
    if explain is late and result.outcome.status is Status.INCONCLUSIVE:
        explain = unfinished  # none got so far that it could be late
    reasons = explain(events, result) if explain else []
    advised = reasons and explain is unfinished  # there were tasks: to ask for some is no advice
    known = CHECKS.get(result.name)
    if result.outcome.status is Status.INCONCLUSIVE and known is not None and known.occasion and not advised:
        told.append(f"what would put it to the test: {known.occasion}")
    return told + reasons
