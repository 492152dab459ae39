"""Check: nodes take in what was validly sent to them, as it was sent, and nothing else."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from typing import ClassVar

from dcompute.parts import number_of
from dcompute_sim import trace as t
from dcompute_sim.checks.check import Check, CheckOutcome
from dcompute_sim.checks.ledger import Ledger

_REMEMBERED = 20  # tasks that a node knows again; brokers have as many in flight


class TasksAsSent(Check):
    """Each task that a node takes in was sent to that node, validly and while it was connected; with the
    priority that was asked for, and as the attempt that it is.

    So whatever breaks a limit of the protocol, or is retained, is not obeyed, a task without a priority is of
    the middle one, and the same again within 20 tasks is known again, unless it was withdrawn in between.
    What still waits is known for as long as it does, also as another attempt: who is impatient makes no
    queue longer.

    Limit: what clients other than the master send is heard at the broker model in virtual time only. Programs
    of somebody else are not judged.
    """

    name: ClassVar[str] = "tasks_as_sent"
    occasion: ClassVar[str] = "tasks that reach a node: a stream under `workload:`"

    def judge(self, trace: Sequence[t.Event]) -> CheckOutcome:
        ledger = _TaskLedger().read(trace)
        received = ledger.judged["received"]
        return ledger.outcome(
            f"{number_of(received, 'task')} taken in, each as it was sent",
            broken="tasks ",
            untested="no node took in a task",
        )


class _TaskLedger(Ledger):
    """What was asked for and sent, and what each node knows of it."""

    def __init__(self) -> None:
        super().__init__("received")
        self._who = t.Participants()
        self._read_off_the_wire: set[str] = set()
        self._foreign: set[str] = set()
        self._asked: dict[str, int] = {}
        self._of_executors: set[str] = set()  # theirs may tell nothing of what it sends
        self._sent: dict[tuple[str, str, int], int] = {}
        self._outside: defaultdict[str, list[t.TaskFromOutside]] = defaultdict(list)
        self._since_us: dict[str, int] = {}  # who connects, also a clone -> what was before is not for it
        self._recent: defaultdict[str, deque[tuple[str, int]]] = defaultdict(_memory)
        self._waiting: defaultdict[str, set[str]] = defaultdict(set)  # executors' own may expire: not those
        self.take_in = {
            t.NodeConnecting: self._connecting,
            t.NodeDefined: self._node,
            t.NodeStarted: self._started,
            t.ParticipantDefined: self._who.add,
            t.TaskAsked: self._task_asked,
            t.TaskFromOutside: lambda event: self._outside[event.node].append(event),
            t.TaskReceived: self._received,
            t.TaskSent: self._task_sent,
            t.TaskTaken: lambda event: self._waiting[event.node].discard(event.task),
            t.TaskWithdrawn: self._withdrawn,
        }

    def _received(self, event: t.TaskReceived) -> None:
        node, task, owner = event.node, event.task, self._who.owner(event.node)
        if owner in self._foreign:
            return
        self.judged["received"] += 1
        self._judge_repeat(event, owner)
        self._recent[node].append((task, event.attempt))
        priority = self._sent.get((owner, task, event.attempt))
        if priority is None:
            priority = _from_outside(self._outside[owner], self._since_us.get(node, 0), event)
        if priority is None:
            if task not in self._of_executors:
                self.breaches.add("never validly sent", event)
        elif priority != event.priority:
            self.breaches.add("with another priority than it was sent with", event)

    def _judge_repeat(self, event: t.TaskReceived, owner: str) -> None:
        node, task = event.node, event.task
        if (task, event.attempt) in self._recent[node] and owner not in self._read_off_the_wire:
            self.breaches.add("taken in again", event)
        elif task in self._waiting[node]:
            self.breaches.add("taken in again while they waited", event)
        if task not in self._of_executors and owner not in self._read_off_the_wire:
            self._waiting[node].add(task)

    def _task_sent(self, event: t.TaskSent) -> None:
        self._sent[event.node, event.task, event.attempt] = event.priority
        if self._asked.get(event.task, event.priority) != event.priority:
            self.breaches.add("sent with another priority than was asked for", event)

    def _task_asked(self, event: t.TaskAsked) -> None:
        self._asked[event.task] = event.priority
        if event.asker:
            self._of_executors.add(event.task)

    def _withdrawn(self, event: t.TaskWithdrawn) -> None:
        """Forget a task recalled for more urgent work: it may come again."""
        self._waiting[event.node].discard(event.task)
        known = self._recent[event.node]
        self._recent[event.node] = _memory(each for each in known if each[0] != event.task)

    def _connecting(self, event: t.NodeConnecting) -> None:
        self._since_us[event.node] = event.t_us  # what is retained of before is not obeyed

    def _started(self, event: t.NodeStarted) -> None:
        self._recent[event.node].clear()
        self._waiting[event.node].clear()

    def _node(self, event: t.NodeDefined) -> None:
        if event.foreign:
            self._foreign.add(event.node)
        if event.kind == "board":
            self._read_off_the_wire.add(event.node)


def _memory(known: Iterable[tuple[str, int]] = ()) -> deque[tuple[str, int]]:
    """Return the tasks that a node knows again, with their attempts."""
    return deque(known, maxlen=_REMEMBERED)


def _from_outside(outside: Sequence[t.TaskFromOutside], since_us: int, event: t.TaskReceived) -> int | None:
    """Return the priority of that task, if somebody else has sent it on this connection."""
    for task in outside:
        if task.t_us >= since_us and task.task in ("", event.task) and task.attempt == event.attempt:
            return task.priority
    return None
