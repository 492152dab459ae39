"""Why a task has no result: what `Future.result()` of a FleetExecutor raises."""

from __future__ import annotations

from dcompute.errors import JournalError


class TaskError(Exception):
    """A task has no result. `task_id` names it, `node` where it was last ("" for nowhere)."""

    def __init__(self, message: str, task_id: str = "", node: str = "") -> None:
        super().__init__(message)
        self.task_id = task_id
        self.node = node


class TaskFailed(TaskError):
    """The handler raised. `type` and `traceback` are those of the node, as text."""

    def __init__(self, message: str, task_id: str, node: str, type_: str, traceback: str) -> None:
        super().__init__(message, task_id, node)
        self.type = type_
        self.traceback = traceback

    def __str__(self) -> str:
        text = f"{self.type}: {self.args[0]} (task {self.task_id} on {self.node})"
        return f"{text}\n\n{self.traceback.rstrip()}" if self.traceback else text


class NodeLost(TaskError):
    """The node that had the task was lost as often as `retries` allows."""


class OutcomeUnknown(TaskError):
    """A task that is to run `once` may have run, and nobody can tell."""


class Quarantined(TaskError):
    """So many attempts ended without a trace that the task itself is suspected of killing nodes."""


class Expired(TaskError):
    """The task was not done within its `timeout`."""


class Refused(TaskError):
    """The task cannot be sent: the broker closes the connection over it, or no node would take it."""


__all__ = [
    "Expired",
    "JournalError",
    "NodeLost",
    "OutcomeUnknown",
    "Quarantined",
    "Refused",
    "TaskError",
    "TaskFailed",
]
