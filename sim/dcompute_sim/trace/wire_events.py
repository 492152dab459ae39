"""What was heard at the broker, by whom it was said, held against docs/protocol.md."""

from __future__ import annotations

from dcompute_sim.trace.event import Event


class ProtocolBroken(Event, frozen=True):
    """`who`, a program of ours, sent what the protocol does not have. Each `what` is told once of each."""

    who: str
    topic: str
    what: str


class TaskFromOutside(Event, frozen=True):
    """Somebody else than the master published a valid task for a node. `task`: "" when it names itself by
    nothing; `retain`: the broker was to keep it."""

    who: str
    node: str
    task: str
    priority: int
    attempt: int = 1
    retain: bool = False


class ResultFromOutside(Event, frozen=True):
    """Somebody else than a node of ours published a valid result. `task`: "" when it names none."""

    who: str
    node: str
    task: str
    retain: bool = False


class MalformedHeard(Event, frozen=True):
    """Somebody published what breaks a limit of the protocol, on one of its topics."""

    who: str
    topic: str


class TaskHeard(Event, frozen=True):
    """The master published a task: one of the first after it has connected anew."""

    node: str
    task: str
    attempt: int = 1


class ResultForgotten(Event, frozen=True):
    """A node told an executor that it had not room to keep the result of a task that it has run (`gone`)."""

    node: str
    task: str
    attempt: int


class SaidGone(Event, frozen=True):
    """`who` published, or a will of it is, that a node is `dead` or `offline`."""

    who: str
    node: str
    status: str
    inc: str = ""


class SaidBack(Event, frozen=True):
    """`who` published another status of a node than `dead` or `offline`, of which one was said last."""

    who: str
    node: str


class WireHeard(Event, frozen=True):
    """The run is over: how many messages of ours were held against the protocol."""

    messages: int
