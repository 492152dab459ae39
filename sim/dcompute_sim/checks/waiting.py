"""What each executor's tasks wait for, replayed from the trace; what the checks on priority over a fleet see.

A task waits at its asker from `task_asked` until it is first sent to a node, and at that node until its
execution begins there; what the node gives back waits at its asker again, in the place that it had. What was
sent and has to be sent again is not looked at: a node that was lost takes its own time to be missed. A node
whose link is silent is there for nobody: it works off what it has, and no urgent task can reach it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from dcompute_sim import trace as t
from dcompute_sim.checks.history import is_seen
from dcompute_sim.faults.fault import Seen

_Class = tuple[int, str, str, str]  # priority, asker, and node and group where it has to run


@dataclass(slots=True)
class WaitingTask:
    """A task that has not begun. `at`: the node that it was sent to, "" while it waits at its asker, since
    `since_us`."""

    asked: t.TaskAsked
    since_us: int
    at: str = ""


class Askers:
    """Replays who asks, who is connected, and what waits."""

    OF_INTEREST = frozenset(
        {
            t.NodeDefined,
            t.NodeConnected,
            t.NodeDisconnected,
            t.NodeStopped,
            t.ExecutorConnected,
            t.ExecutorDisconnected,
            t.ExecutorStopped,
            t.TaskAsked,
            t.TaskSent,
            t.TaskSettled,
            t.ExecutionBegan,
            t.TaskFinished,
            t.TaskWithdrawn,
            t.FaultInjected,
            t.FaultEnded,
            t.WireStalled,
            t.WireResumed,
            t.RunEnded,
        }
    )

    def __init__(self) -> None:
        self.connected_us: dict[str, int] = {}  # askers that are, since when
        self.node_connected_us: dict[str, int] = {}  # nodes that can be reached, since when
        self.idle_us: dict[str, int] = {}  # nodes with a ledger and nothing at work: since when
        self.waiting: dict[str, WaitingTask] = {}
        self.asked: dict[str, t.TaskAsked] = {}
        self.levels: Counter[int] = Counter()  # priorities of what waits
        self._unsent: dict[_Class, dict[str, t.TaskAsked]] = {}
        self._group_of: dict[str, str] = {}
        self._at_work: dict[str, set[str]] = {}
        self._no_ledger: set[str] = set()
        self._connected: set[str] = set()
        self._silent: dict[str, set[str]] = {}  # by node, what holds up its link: faults, connections

    def take_in(self, event: t.Event) -> None:
        """Have it happen."""
        match event:
            case t.TaskAsked(task=task, asker=asker) if asker:
                self.asked[task] = event
                self.waiting[task] = WaitingTask(event, event.t_us)
                self.levels[event.priority] += 1
                self._unsent.setdefault(_class_of(event), {})[task] = event
            case t.TaskSent(task=task, node=node):
                if task in self.waiting:
                    self._sent(task)
                    self.waiting[task].at = node
            case t.ExecutionBegan(task=task, node=node):
                self._over(task)
                self._at_work.setdefault(node, set()).add(task)
                self.idle_us.pop(node, None)
            case t.TaskSettled(task=task):
                self._over(task)
            case t.TaskWithdrawn(task=task, node=node):
                self._given_back(task, node, event.t_us)
            case t.TaskFinished(task=task, node=node):
                at_work = self._at_work.setdefault(node, set())
                at_work.discard(task)
                if not at_work and node in self.node_connected_us and node not in self._no_ledger:
                    self.idle_us.setdefault(node, event.t_us)
            case t.NodeConnected(node=node):
                self._connected.add(node)
                self._silent.pop(node, None)  # who has connected is heard
                self._node_back(node, event.t_us)
            case t.NodeDisconnected(node=node):
                self._connected.discard(node)
                self._node_gone(node)
            case t.NodeStopped(node=node):
                self._connected.discard(node)
                self._node_gone(node)
                self._at_work.pop(node, None)
            case t.FaultInjected(node=node, kind=kind, fault=fault) if is_seen(kind, Seen.SILENCE):
                self._silence(node, fault)
            case t.FaultEnded(node=node, fault=fault):
                self._heard(node, fault, event.t_us)
            case t.WireStalled(node=node, conn=conn):
                self._silence(node, f"connection {conn}")
            case t.WireResumed(node=node, conn=conn):
                self._heard(node, f"connection {conn}", event.t_us)
            case t.ExecutorConnected(asker=asker):
                self.connected_us[asker] = event.t_us
            case t.ExecutorDisconnected(asker=asker) | t.ExecutorStopped(asker=asker):
                self.connected_us.pop(asker, None)
            case t.NodeDefined(node=node, group=group):
                self._group_of[node] = group
                if event.foreign or event.kind == "board":  # whose work is not seen to begin
                    self._no_ledger.add(node)

    def unsent(self, node: str, above: int = 0) -> Iterator[t.TaskAsked]:
        """Yield, of each asker and each kind of task of a priority above this one that could run on the node,
        the one that has waited longest at its asker."""
        group = self._group_of.get(node, "")
        for (priority, _, wanted, of_group), tasks in self._unsent.items():
            if tasks and priority > above and wanted in ("", node) and of_group in ("", group):
                yield next(iter(tasks.values()))

    def could_run(self, asked: t.TaskAsked, node: str) -> bool:
        """Say whether the node is one where the task may run."""
        return asked.node in ("", node) and asked.group in ("", self._group_of.get(node, ""))

    def _sent(self, task: str) -> None:
        asked = self.waiting[task].asked
        self._unsent[_class_of(asked)].pop(task, None)

    def _given_back(self, task: str, node: str, t_us: int) -> None:
        waits = self.waiting.get(task)
        if waits is not None and waits.at == node:
            waits.at = ""
            waits.since_us = t_us
            of_class = self._unsent[_class_of(waits.asked)]
            of_class[task] = waits.asked
            for other in [each for each in of_class if of_class[each].t_us > waits.asked.t_us]:
                of_class[other] = of_class.pop(other)  # behind it, as they were asked for later

    def _over(self, task: str) -> None:
        if task in self.waiting:
            self._sent(task)
            self.levels[self.waiting.pop(task).asked.priority] -= 1

    def _silence(self, node: str, why: str) -> None:
        self._silent.setdefault(node, set()).add(why)
        self._node_gone(node)

    def _heard(self, node: str, why: str, t_us: int) -> None:
        held_up = self._silent.get(node, set())
        if why in held_up:
            held_up.discard(why)
            if not held_up and node in self._connected:
                self._node_back(node, t_us)

    def _node_back(self, node: str, t_us: int) -> None:
        self.node_connected_us[node] = t_us
        if not self._at_work.get(node) and node not in self._no_ledger:
            self.idle_us[node] = t_us

    def _node_gone(self, node: str) -> None:
        self.node_connected_us.pop(node, None)
        self.idle_us.pop(node, None)


def _class_of(asked: t.TaskAsked) -> _Class:
    return asked.priority, asked.asker, asked.node, asked.group
