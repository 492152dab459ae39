"""Check: nodes take in what was validly sent to them, as it was sent, and nothing else."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from typing import ClassVar

from dcompute_sim import trace as t
from dcompute_sim.checks.breaches import Breaches
from dcompute_sim.checks.check import Check, CheckOutcome, held, inconclusive, noun, of_kinds

_OF_TASKS = frozenset(
    {
        t.NodeConnecting,
        t.NodeDefined,
        t.NodeStarted,
        t.ParticipantDefined,
        t.TaskAsked,
        t.TaskFromOutside,
        t.TaskReceived,
        t.TaskSent,
        t.TaskTaken,
        t.TaskWithdrawn,
    }
)
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
        who = t.Participants()
        read_off_the_wire: set[str] = set()
        foreign: set[str] = set()
        asked: dict[str, int] = {}
        of_executors: set[str] = set()  # theirs may tell nothing of what it sends
        sent: dict[tuple[str, str, int], int] = {}
        outside: defaultdict[str, list[t.TaskFromOutside]] = defaultdict(list)
        since_us: dict[str, int] = {}  # who connects, also a clone -> what was sent before is not for it
        recent: defaultdict[str, deque[tuple[str, int]]] = defaultdict(lambda: deque(maxlen=_REMEMBERED))
        waiting: defaultdict[str, set[str]] = defaultdict(set)  # not those of executors, which may expire
        breaches = Breaches()
        received = 0
        for event in of_kinds(_OF_TASKS, trace):
            match event:
                case t.TaskReceived(node=node, task=task):
                    owner = who.owner(node)
                    if owner in foreign:
                        continue
                    received += 1
                    if (task, event.attempt) in recent[node] and owner not in read_off_the_wire:
                        breaches.add("taken in again", event)
                    elif task in waiting[node]:
                        breaches.add("taken in again while they waited", event)
                    if task not in of_executors and owner not in read_off_the_wire:
                        waiting[node].add(task)
                    recent[node].append((task, event.attempt))
                    priority = sent.get((owner, task, event.attempt))
                    if priority is None:
                        priority = _from_outside(outside[owner], since_us.get(node, 0), event)
                    if priority is None:
                        if task not in of_executors:
                            breaches.add("never validly sent", event)
                    elif priority != event.priority:
                        breaches.add("with another priority than it was sent with", event)
                case t.TaskTaken(node=node, task=task):
                    waiting[node].discard(task)
                case t.TaskSent(node=node, task=task):
                    sent[node, task, event.attempt] = event.priority
                    if asked.get(task, event.priority) != event.priority:
                        breaches.add("sent with another priority than was asked for", event)
                case t.TaskAsked(task=task):
                    asked[task] = event.priority
                    if event.asker:
                        of_executors.add(task)
                case t.TaskFromOutside(node=node):
                    outside[node].append(event)
                case t.TaskWithdrawn(
                    node=node, task=task
                ):  # recalled for more urgent work; it may come again
                    waiting[node].discard(task)
                    kept = [known for known in recent[node] if known[0] != task]
                    recent[node] = deque(kept, maxlen=_REMEMBERED)
                case t.NodeConnecting(node=node):
                    since_us[node] = event.t_us  # what is retained of before is not obeyed
                case t.NodeStarted(node=node):
                    recent[node].clear()
                    waiting[node].clear()
                case t.NodeDefined(node=node):
                    if event.foreign:
                        foreign.add(node)
                    if event.kind == "board":
                        read_off_the_wire.add(node)
                case t.ParticipantDefined():
                    who.add(event)
        figures: dict[str, float | int | str] = {"received": received}
        if breaches:
            return breaches.outcome("tasks ", figures)
        if not received:
            return inconclusive("no node took in a task", figures)
        return held(f"{received} {noun(received, 'task')} taken in, each as it was sent", figures)


def _from_outside(outside: Sequence[t.TaskFromOutside], since_us: int, event: t.TaskReceived) -> int | None:
    """The priority of that task, if somebody else has sent it on this connection."""
    for task in outside:
        if task.t_us >= since_us and task.task in ("", event.task) and task.attempt == event.attempt:
            return task.priority
    return None
