"""Check: every task sent came back as a result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from dcompute_sim.checks.check import Check, CheckOutcome, failed, held, inconclusive
from dcompute_sim.checks.tasks import cut_short, tasks, unnamed
from dcompute_sim.trace import Event


class AllTasksFinished(Check):
    """Every task that was sent has a result at the master by the end, whichever node or attempt gave it.

    Tasks of nodes that died count too: whoever sends tasks is told of deaths and can send them again.
    Undecided when results that name no task may be the ones that are missing.

    Limit: judges that a result came, not what it says (see results_match).
    """

    name: ClassVar[str] = "all_tasks_finished"
    occasion: ClassVar[str] = "tasks: a stream under `workload:`"

    def judge(self, trace: Sequence[Event]) -> CheckOutcome:
        sent = {task_id: task for task_id, task in tasks(trace).items() if task.sent}
        unfinished = [task.sent[-1] for task in sent.values() if not task.results]
        figures = {
            "sent": len(sent),
            "finished": len(sent) - len(unfinished),
            "sent_again": sum(len(task.sent) > 1 for task in sent.values()),
        }
        if not sent:
            return inconclusive("no task was sent", figures)
        told = f"{figures['finished']} of {len(sent)} tasks finished, {figures['sent_again']} sent again"
        nameless = unnamed(trace)
        if nameless and nameless.may_answer([task.sent for task in sent.values() if not task.results]):
            return inconclusive(f"{told}; {nameless}", figures)
        if unfinished and cut_short(trace):
            return inconclusive(f"{told}, when the run was interrupted", figures)
        if unfinished:
            return failed(f"{len(unfinished)} of {len(sent)} tasks have no result", unfinished, figures)
        return held(told, figures)
