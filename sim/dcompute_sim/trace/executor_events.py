"""What the executors of a run did: who asks for work, and from when to when it could."""

from __future__ import annotations

from dcompute_sim.trace.event import Event


class ExecutorStarted(Event, frozen=True):
    """`journal`: none, new, kept (of the life before) or lost. `resend_s`: after how long without an answer a
    task is sent again; then after twice that, and so on. `max_pending`: how many may be on their way, 0 for
    any number; `tell_us`: how often it says what its queue is, 0 for never."""

    asker: str
    boot: int
    journal: str = "none"
    resend_s: float = 15.0
    max_pending: int = 0
    tell_us: int = 0


class TaskBacklogged(Event, frozen=True):
    """A task is not taken: too many are on their way (`max_pending`). The program asks again."""

    asker: str
    task: str


class TaskAdmitted(Event, frozen=True):
    """An executor that has a bound (`max_pending`) has taken a task."""

    asker: str
    task: str


class QueueTold(Event, frozen=True):
    """An executor has said what its queue is, to whoever watches; as the broker heard it. `by_priority`: of
    those that are not over."""

    asker: str
    submitted: int
    done: int
    failed: int
    waiting: int
    at_nodes: int
    nodes: int
    by_priority: dict[str, int]


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
    """A program is told how far a task at work is: in percent, and in words."""

    asker: str
    task: str
    percent: int
    text: str = ""


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
