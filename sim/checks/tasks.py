"""What became of each task, read from the trace; what the checks on losing and repeating look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sim import trace as t


@dataclass(slots=True)
class Task:
    """One task id, over all its attempts."""

    sent: list[t.TaskSent] = field(default_factory=list)
    received: list[t.TaskReceived] = field(default_factory=list)
    taken: list[t.TaskTaken] = field(default_factory=list)
    finished: list[t.TaskFinished] = field(default_factory=list)
    held: list[t.ResultHeld] = field(default_factory=list)
    results: list[t.ResultReceived] = field(default_factory=list)
    duplicates: list[t.ResultDuplicate] = field(default_factory=list)


def tasks(trace: Sequence[t.Event]) -> dict[str, Task]:
    """Every task by its id, in the order in which they first appear."""
    found: dict[str, Task] = {}
    for event in trace:
        match event:
            case t.TaskSent(task=task):
                found.setdefault(task, Task()).sent.append(event)
            case t.TaskReceived(task=task):
                found.setdefault(task, Task()).received.append(event)
            case t.TaskTaken(task=task):
                found.setdefault(task, Task()).taken.append(event)
            case t.TaskFinished(task=task):
                found.setdefault(task, Task()).finished.append(event)
            case t.ResultHeld(task=task):
                found.setdefault(task, Task()).held.append(event)
            case t.ResultReceived(task=task):
                found.setdefault(task, Task()).results.append(event)
            case t.ResultDuplicate(task=task):
                found.setdefault(task, Task()).duplicates.append(event)
    return found


def cut_short(trace: Sequence[t.Event]) -> bool:
    """The run was interrupted, so what is unfinished proves nothing."""
    return any(isinstance(event, t.RunEnded) and event.reason == "interrupted" for event in trace[-50:])
