"""What the executors of a run did: who asks for work, and from when to when it could."""

from __future__ import annotations

from dcompute_sim.trace.event import Event


class ExecutorStarted(Event, frozen=True):
    """`journal`: none, new, kept (of the life before) or lost. `resend_s`: after how long without an answer a
    task is sent again; then after twice that, and so on."""

    asker: str
    boot: int
    journal: str = "none"
    resend_s: float = 15.0


class ExecutorStopped(Event, frozen=True):
    """`how`: crash or exit."""

    asker: str
    how: str


class ExecutorConnected(Event, frozen=True):
    """It has a broker, and hears of nodes and answers."""

    asker: str


class ExecutorDeaths(Event, frozen=True):
    """The dead-nodes callback of an executor was called with these names."""

    asker: str
    nodes: list[str]


class ExecutorAnswered(Event, frozen=True):
    """At the end: whom its `nodes()` names, what its `counters()` are, and what its `last_error` says."""

    asker: str
    nodes: list[str]
    values: dict[str, int]
    error: str = ""


class AttemptFailed(Event, frozen=True):
    """The task failed on this node, and its executor has it tried again."""

    node: str
    task: str
    asker: str


class TaskProgressed(Event, frozen=True):
    """A program is told how far a task at work is, in percent."""

    asker: str
    task: str
    percent: int


class ExecutorDisconnected(Event, frozen=True):
    asker: str
    reason: str


class ToldAgain(Event, frozen=True):
    """A program that keeps no notes has asked for a task anew whose end it had seen, and has its end again.
    `value`: digest of the result, "" where there is none."""

    asker: str
    task: str
    outcome: str
    value: str
