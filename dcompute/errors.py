"""What the transports raise beside ValueError (an argument that no message could carry) and RuntimeError."""

from __future__ import annotations


class NodeUnavailable(LookupError):
    """A task cannot be given to this node now."""


class UnknownNode(NodeUnavailable):
    """No node of this id has announced itself."""


class DeadNode(NodeUnavailable):
    """The node is dead or offline."""


class Backlogged(RuntimeError):
    """Too many tasks wait for the broker: nothing was sent, try again later."""


class Forked(RuntimeError):
    """A transport was used in a child process that was forked from the one that made it."""


class JournalError(RuntimeError):
    """The journal cannot be read or written; nothing was accepted that would be lost."""


class NotSent(RuntimeError):
    """The broker did not acknowledge everything in time; `tasks` are the ids of what is missing."""

    def __init__(self, tasks: list[str]) -> None:
        super().__init__(f"{len(tasks)} not sent: {', '.join(tasks[:5])}{', ...' if len(tasks) > 5 else ''}")
        self.tasks = tasks


__all__ = ["Backlogged", "DeadNode", "Forked", "JournalError", "NodeUnavailable", "NotSent", "UnknownNode"]
