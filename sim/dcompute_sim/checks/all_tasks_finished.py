"""Check: every task sent came back as a result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from dcompute.parts import noun, number_of
from dcompute_sim.checks.check import Check, CheckOutcome, failed, held, inconclusive
from dcompute_sim.checks.tasks import Task, cut_short, tasks, unnamed
from dcompute_sim.trace import Event, FinalNode

_GONE = ("", "dead", "offline")


class AllTasksFinished(Check):
    """Every task that was asked for or sent has a result by the end, whichever node or attempt gave it.

    Tasks of nodes that died count too: an executor has them done elsewhere, and whoever sends them by the
    bare transport is told of deaths. A task of an executor may have another end where its terms allow it
    (`once`: unknown, `timeout`: expired, `retries`: its node lost), or be forgotten with its journal;
    these are counted. Undecided when results that name no task may be the ones that are missing, and when no
    task was sent and at the end no node was connected, and known to the master, that could have had one.

    Limit: judges that a result came, not what it says (see results_match); how many say that the task failed
    is told.
    """

    name: ClassVar[str] = "all_tasks_finished"
    occasion: ClassVar[str] = "tasks: a stream under `workload:`"

    via: Literal["executor", "transport"] | None = Field(
        default=None,
        description="Only tasks of executors, or of the bare transport.",
    )

    def judge(self, trace: Sequence[Event]) -> CheckOutcome:
        wanted = {name: task for name, task in tasks(trace).items() if self.wants(task)}
        otherwise = sum(_ended_by_its_terms(task) for task in wanted.values())
        lacking = [task for task in wanted.values() if not task.results and not _ended_by_its_terms(task)]
        unfinished = [(task.sent or task.asked)[-1] for task in lacking]
        figures = {
            "sent": len(wanted),
            "finished": len(wanted) - len(unfinished) - otherwise,
            "ended_otherwise": otherwise,
            "sent_again": sum(len(task.sent) > 1 for task in wanted.values()),
            "sends": sum(len(task.sent) for task in wanted.values()),
            "with_error": sum(_ended_in_error(task) for task in wanted.values()),
        }
        if not wanted:
            return inconclusive("no task was sent", figures)
        if not any(task.sent for task in wanted.values()) and not _somebody_is_there(trace):
            asked = number_of(len(wanted), "task")
            told = f"no task was sent; {asked} asked for, with nobody there to do any at the end"
            return inconclusive(told, figures)
        told = (
            f"{figures['finished']} of {number_of(len(wanted), 'task')} finished, "
            f"{figures['sent_again']} sent again"
        )
        if figures["with_error"]:
            told += f", {figures['with_error']} with an error for a result"
        if otherwise:
            told += f", {otherwise} ended otherwise by their terms"
        nameless = unnamed(trace)
        sent = [task.sent for task in lacking if task.sent]
        if nameless and nameless.may_answer(sent, [task.asked[-1] for task in lacking if not task.sent]):
            return inconclusive(f"{told}; {nameless}", figures)
        if unfinished and cut_short(trace):
            return inconclusive(f"{told}, when the run was interrupted", figures)
        if unfinished:
            return failed(
                f"{len(unfinished)} of {number_of(len(wanted), 'task')} "
                f"{noun(len(unfinished), 'has', 'have')} no result",
                unfinished,
                figures,
            )
        return held(told, figures)

    def wants(self, task: Task) -> bool:
        """Tell whether this task is one of those judged."""
        by_executor = any(asked.asker for asked in task.asked)
        if self.via is not None and by_executor is not (self.via == "executor"):
            return False
        return by_executor or bool(task.sent)


def _somebody_is_there(trace: Sequence[Event]) -> bool:
    """Tell whether a node could have had a task at the end: that it had none is what this check is for."""
    finals = (event for event in trace if isinstance(event, FinalNode))
    return any(final.connected and final.master_status not in _GONE for final in finals)


def _ended_in_error(task: Task) -> bool:
    """Say whether whoever ran it, each time, had an error to tell."""
    return bool(task.results and task.finished) and not any(event.ok for event in task.finished)


def _ended_by_its_terms(task: Task) -> bool:
    may = {"forgotten", *(end for asked in task.asked for end in asked.ends)}
    return not task.results and any(end.outcome in may for end in task.ends)
