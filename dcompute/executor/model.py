"""What an asker believes of tasks and nodes, and what goes into its core and comes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

SETTLE_S = 2.0  # how long a node that is gone may take to come back before its tasks are moved
RESEND_S = 15.0  # without an answer; doubled each time
FULL_BACKOFF_S = 0.05
LEVELS = 12  # of `Node.level`, from 1: above the highest priority nothing is


class Outcome(Enum):
    """How a task ended."""

    RESULT = "result"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    NODE_LOST = "node_lost"
    UNKNOWN = "unknown"
    QUARANTINED = "quarantined"
    REFUSED = "refused"


@dataclass(slots=True)
class Task:
    """One piece of work.

    Args:
        body: what the node's handler gets, a JSON object.
        function: what a node that announces its `functions` must have; "" for any.
        where: what the node must announce (see `matches`).
        once: never run it a second time, whatever happens.
        deadline_s: when it is of no use any more.
        retries: how often it is tried again after it failed or its node was lost; None: never after a
            failure, and until it is quarantined after losses.
        speculate_s: after how long without an answer it is tried on another node as well.
    """

    id: str
    body: bytes
    priority: int = 5
    function: str = ""
    where: Mapping[str, object] = field(default_factory=dict)
    once: bool = False
    deadline_s: float | None = None
    retries: int | None = None
    speculate_s: float | None = None
    attempt: int = 1
    lost: int = 0
    failed: int = 0
    cancelled: bool = False
    waiting: bool = False
    order: int = 0  # among those of its priority
    message_bytes: int = 0  # rounded up
    wants: str = ""  # of a node, while it waits
    recalls_until_s: float = 0.0  # room is being made for it
    placements: list[Placement] = field(default_factory=list)

    def active(self) -> bool:
        """Tell whether some node is to do it."""
        return any(placement.active for placement in self.placements)


@dataclass(slots=True, eq=False)
class Placement:
    """A task under a number at a node, in one life of it. Not `active`: it was moved, but may come back."""

    task: Task
    node: Node
    n: int
    attempt: int
    active: bool = True
    resend_at_s: float = 0.0
    pause_s: float = RESEND_S
    since_s: float | None = None  # when it was first sent, as far as this process knows
    begun: bool = False  # as far as that can be guessed
    recalled: bool = False

    def recall_line(self) -> int:
        """Tell where its node stands among those that may be asked for it back, the best choice first."""
        return self.task.priority + LEVELS * self.begun


@dataclass(slots=True, eq=False)
class Node:
    """What is believed of a node. `credit` 0 is an older one: one task at a time, at least once."""

    id: str
    life: str = ""
    inc: str = ""
    alive: bool = False
    credit: int = 0
    largest: int = 0
    hands: int = 1  # how many tasks it works on at a time
    at_work: int = 0  # how many of those here have begun, as far as that can be guessed
    announced: dict[str, object] = field(default_factory=dict)
    functions: frozenset[str] | None = None  # whole names, and short ones; None: it does not say
    top: int = 0
    open: dict[int, Placement] = field(default_factory=dict)
    told: bool = True  # that nothing is open
    idle_at_s: float = 0.0
    gone_at_s: float | None = None
    move_after_s: float = SETTLE_S
    rested_at_s: float = 0.0
    rest_s: float = FULL_BACKOFF_S
    alone: bool = False  # its one task is suspected of killing nodes
    bucket: int = -1  # the line in which `choice` has it
    others: dict[str, tuple[int, int]] = field(default_factory=dict)  # life -> its newest connection, its top

    @property
    def window(self) -> int:
        return self.credit or 1

    @property
    def half(self) -> int:
        """How many tasks it may have of any priority; enough to keep it busy while messages are under way."""
        return (self.window + 1) // 2

    def level(self) -> int:
        """Return the lowest priority that the rest of its window is for: at most one task there is as urgent.

        So what is urgent finds room behind any number of tasks that are not, and two of a kind are there, one
        at work and one to follow."""
        urgent = second = 0
        for placement in self.open.values():
            priority = placement.task.priority
            if priority > urgent:
                urgent, second = priority, urgent
            elif priority > second:
                second = priority
        return second + 1

    def guess_begun(self) -> None:
        """Guess what has begun: of what is here the most urgent is at work next, as soon as the node has its
        hands free."""
        if self.at_work >= self.hands:
            return
        following: Placement | None = None
        for placement in self.open.values():
            if placement.begun:
                continue
            if following is None or placement.task.priority > following.task.priority:
                following = placement
        if following is not None:
            following.begun = True
            self.at_work += 1

    def least_urgent(self) -> Placement | None:
        """Tell what would be recalled: rather what has not begun, of the lowest priority, and what came
        last."""
        least: Placement | None = None
        for placement in self.open.values():
            if not placement.active or placement.recalled or placement.task.cancelled:
                continue
            if least is None or placement.recall_line() <= least.recall_line():
                least = placement
        return least


@dataclass(slots=True)
class Send:
    """A message for a node: `task` under `n`, or (`task` None) no more than what is open.

    Args:
        recall: it is to be given back if it has not begun.
    """

    node: str
    life: str
    n: int
    open: list[int]
    ring: bool
    task: Task | None = None
    attempt: int = 1
    cancel: bool = False
    recall: bool = False
    expires_s: float | None = None


@dataclass(slots=True)
class Settled:
    """A task is over. `value`: the result, the error of the handler, or in words why."""

    task: Task
    outcome: Outcome
    value: Any = None
    node: str = ""


class Batch:
    """What to do, in this order: commit `writes`, then send, then report."""

    __slots__ = ("reports", "sends", "writes")

    def __init__(self) -> None:
        self.writes: list[tuple[object, ...]] = []
        self.sends: list[Send] = []
        self.reports: list[Settled] = []

    def __bool__(self) -> bool:
        return bool(self.writes or self.sends or self.reports)


@dataclass(slots=True)
class Answer:
    """A message on `results/<from>`: a result (`ok` is set) or what became of the task instead (`ran`)."""

    node: str
    inc: str
    task_id: str
    attempt: int
    n: int
    ok: bool | None = None
    result: Any = None
    error: Any = None
    answer: str = ""
    ran: str = "maybe"
    top: int = 0


@dataclass(slots=True)
class Progress:
    """A message on `results/<from>`: how far a task at work is (0 to 1), and in words."""

    node: str
    inc: str
    task_id: str
    attempt: int
    n: int
    fraction: float
    text: str
