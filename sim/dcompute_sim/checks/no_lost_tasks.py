"""Check: no task disappears without the sender being told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import ClassVar

from dcompute.parts import number_of
from dcompute_sim.checks.check import Check, CheckOutcome, failed, held, inconclusive
from dcompute_sim.checks.tasks import cut_short, tasks, unnamed
from dcompute_sim.checks.under_way import UnderWay
from dcompute_sim.trace import DeathReported, Event, ResultReceived, TaskSent, TaskSettled


class NoLostTasks(Check):
    """Every task sent ends in a result, another end that is told, or a later report of its node's death.

    Weaker than all_tasks_finished: a sender that was told of the death knows that it has to send again. A
    task that a node dropped (queue full, invalid) is lost: the sender is not told of that.

    A task that somebody was still going on with when the run ended (its node was at it, its executor had not
    lost patience) is not lost; of it this is undecided. Undecided, too, when results that name no task may be
    the ones that are missing.

    Limit: any death of the node reported after the sending counts as being told, also a false one.
    """

    name: ClassVar[str] = "no_lost_tasks"
    occasion: ClassVar[str] = "tasks: a stream under `workload:`"

    def judge(self, trace: Sequence[Event]) -> CheckOutcome:
        open_tasks: dict[str, TaskSent] = {}
        told: dict[str, TaskSent] = {}
        finished: set[str] = set()
        for event in trace:
            match event:
                case TaskSent(task=task) if task not in finished:
                    open_tasks[task] = event
                    told.pop(task, None)
                case ResultReceived(task=task) | TaskSettled(task=task) if task:
                    finished.add(task)
                    open_tasks.pop(task, None)
                    told.pop(task, None)
                case DeathReported(node=node):
                    for task in [task for task, sent in open_tasks.items() if sent.node == node]:
                        told[task] = open_tasks.pop(task)
        under_way = _under_way(trace, open_tasks)
        for task in under_way:
            del open_tasks[task]
        figures = {
            "finished": len(finished),
            "told_of_death": len(told),
            "lost": len(open_tasks),
            "under_way": len(under_way),
        }
        if not finished and not told and not open_tasks and not under_way:
            return inconclusive("no task was sent", figures)
        nameless = unnamed(trace)
        if nameless and nameless.may_answer([[sent] for sent in open_tasks.values()]):
            return inconclusive(
                f"{number_of(len(open_tasks), 'task')} without a result of their own; {nameless}", figures
            )
        if open_tasks and cut_short(trace):
            return inconclusive(f"interrupted with {number_of(len(open_tasks), 'task')} open", figures)
        if open_tasks:
            return failed(
                f"{number_of(len(open_tasks), 'task')} lost without a word", open_tasks.values(), figures
            )
        if under_way:
            where = "; ".join(f"{count} {why}" for why, count in Counter(under_way.values()).most_common(3))
            return inconclusive(
                f"{len(finished)} finished, {len(under_way)} still under way when the run ended: {where}. "
                "A longer `duration` would tell",
                figures,
            )
        return held(f"{len(finished)} finished, {len(told)} known to have died with their node", figures)


def _under_way(trace: Sequence[Event], names: Iterable[str]) -> dict[str, str]:
    """Return which of these tasks somebody was still going on with, and who."""
    names = list(names)
    if not names:
        return {}
    known, at_end = tasks(trace), UnderWay(trace)
    found = {name: at_end.why(name, known[name]) for name in names}
    return {name: why for name, why in found.items() if why}
