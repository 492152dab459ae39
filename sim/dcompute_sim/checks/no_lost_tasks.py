"""Check: no task disappears without the sender being told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from dcompute_sim.checks.check import Check, CheckOutcome, failed, held, inconclusive
from dcompute_sim.checks.tasks import cut_short, unnamed
from dcompute_sim.trace import DeathReported, Event, ResultReceived, TaskSent, TaskSettled


class NoLostTasks(Check):
    """Every task sent ends in a result, another end that is told, or a later report of its node's death.

    Weaker than all_tasks_finished: a sender that was told of the death knows that it has to send again. A
    task that a node dropped (queue full, invalid) is lost: the sender is not told of that.

    Undecided when results that name no task may be the ones that are missing.

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
        figures = {"finished": len(finished), "told_of_death": len(told), "lost": len(open_tasks)}
        if not finished and not told and not open_tasks:
            return inconclusive("no task was sent", figures)
        nameless = unnamed(trace)
        if nameless and nameless.may_answer([[sent] for sent in open_tasks.values()]):
            return inconclusive(f"{len(open_tasks)} tasks without a result of their own; {nameless}", figures)
        if open_tasks and cut_short(trace):
            return inconclusive(f"interrupted with {len(open_tasks)} tasks open", figures)
        if open_tasks:
            return failed(f"{len(open_tasks)} tasks lost without a word", open_tasks.values(), figures)
        return held(f"{len(finished)} finished, {len(told)} known to have died with their node", figures)
