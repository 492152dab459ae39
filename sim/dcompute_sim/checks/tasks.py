"""What became of each task, read from the trace; what the checks on losing and repeating look at.

Results that name no task (programs that send an answer and no more) belong to none of them. Which tasks they
answer cannot be known, so no check of tasks holds beside them, and none fails for what they may have been.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from dcompute_sim import trace as t
from dcompute_sim.checks.check import named, of_kinds


@dataclass(slots=True)
class Task:
    """One task id, over all its attempts. `results`: at whom it was asked of; `ends`: other ends it had."""

    asked: list[t.TaskAsked] = field(default_factory=list)
    ends: list[t.TaskSettled] = field(default_factory=list)
    sent: list[t.TaskSent] = field(default_factory=list)
    received: list[t.TaskReceived] = field(default_factory=list)
    taken: list[t.TaskTaken] = field(default_factory=list)
    finished: list[t.TaskFinished] = field(default_factory=list)
    held: list[t.ResultHeld] = field(default_factory=list)
    results: list[t.ResultReceived] = field(default_factory=list)
    duplicates: list[t.ResultDuplicate] = field(default_factory=list)


_PART_OF: dict[type[t.Event], Callable[[Task], list[object]]] = {
    t.TaskAsked: attrgetter("asked"),
    t.TaskSent: attrgetter("sent"),
    t.TaskReceived: attrgetter("received"),
    t.TaskTaken: attrgetter("taken"),
    t.TaskFinished: attrgetter("finished"),
    t.ResultHeld: attrgetter("held"),
    t.ResultReceived: attrgetter("results"),
    t.ResultDuplicate: attrgetter("duplicates"),
    t.TaskSettled: attrgetter("ends"),
}


def tasks(trace: Sequence[t.Event]) -> dict[str, Task]:
    """Return every task by its id, in the order in which they first appear."""
    found: defaultdict[str, Task] = defaultdict(Task)
    for event in of_kinds(_PART_OF, trace):
        kind, task = type(event), found[event.task]  # type: ignore[attr-defined]  # as all of these have
        if kind in _ENDS and not _counts(event, task):
            continue
        _PART_OF[kind](task).append(event)
    return dict(found)


_ENDS = frozenset({t.ResultReceived, t.TaskSettled})


def _counts(event: t.Event, task: Task) -> bool:
    """Say whether an end is one of the task, which no other event tells."""
    if isinstance(event, t.TaskSettled):
        return event.outcome not in ("result", "failed")
    # Not that of an older node, which answers to everybody.
    return not (isinstance(event, t.ResultReceived) and task.asked and event.asker != task.asked[0].asker)


@dataclass(frozen=True, slots=True)
class Unnamed:
    """The results of a run that name no task."""

    by_node: Counter[str]

    def __bool__(self) -> bool:
        return self.by_node.total() > 0

    def __str__(self) -> str:
        count = self.by_node.total()
        names = "names" if count == 1 else "name"
        which = f"{count} result{'s' * (count != 1)} of {named(sorted(self.by_node))} {names} no task"
        return f"{which} (`task_id`): what they answer cannot be known"

    def may_answer(self, sent: Sequence[Sequence[t.TaskSent]], waiting: Sequence[t.TaskAsked] = ()) -> bool:
        """Say whether they may be the answers that the `sent` tasks, by all their attempts, lack.

        Those `waiting` were never sent: to their executor, which heard no answer, the nodes of the others are
        still full. So they are in doubt beside others that are, unless they are for a node that names tasks.
        """
        able = all(any(self.by_node[each.node] for each in attempts) for attempts in sent)
        behind = bool(sent) and all(not asked.node or self.by_node[asked.node] for asked in waiting)
        return able and len(sent) <= self.by_node.total() and (behind or not waiting)


def unnamed(trace: Sequence[t.Event]) -> Unnamed:
    """Return the results that name no task."""
    results = of_kinds({t.ResultReceived}, trace)
    return Unnamed(Counter(e.node for e in results if isinstance(e, t.ResultReceived) and not e.task))


def cut_short(trace: Sequence[t.Event]) -> bool:
    """Say whether the run was interrupted, so that what is unfinished proves nothing."""
    return any(isinstance(event, t.RunEnded) and event.reason == "interrupted" for event in trace[-50:])
