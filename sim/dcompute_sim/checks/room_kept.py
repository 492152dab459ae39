"""Check: no more tasks are on their way than a program allows, and none is kept waiting while there is room.

Rules, from what was asked and what was told; how an executor counts is not asked.

1. A task is on its way from when it was taken until the program has its end. One that has an end, and that a
   program without notes asks for anew, takes up no room.
2. One is taken only if, with those of its priority and above, no more are on their way than `max_pending`, or
   twice what all nodes of the scenario take (`credit`).
3. One that is not taken had as many before it: `max_pending`, or twice what those nodes take that have been
   there for SEEN_S.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from dcompute.parts import number_of
from dcompute_sim import trace as t
from dcompute_sim.checks.breaches import Breaches
from dcompute_sim.checks.check import Check, CheckOutcome, held, inconclusive, of_kinds

SEEN_S = 2.0
_OF_INTEREST = frozenset(
    {
        t.NodeDefined,
        t.ExecutorStarted,
        t.ExecutorConnected,
        t.ExecutorDisconnected,
        t.SaidBack,
        t.SaidGone,
        t.TaskAsked,
        t.TaskAdmitted,
        t.TaskBacklogged,
        t.TaskSettled,
    }
)


@dataclass(slots=True)
class _Bound:
    most: int
    connected_us: int | None = None
    open: dict[str, int] = field(default_factory=dict)  # tasks on their way -> their priority
    over: set[str] = field(default_factory=set)


class RoomKept(Check):
    """An executor with `max_pending` takes that many tasks and no more, and urgent ones past those that wait.

    Less urgent tasks do not count, and a fleet that takes more may have twice what it takes.

    Limit: what a node takes is known where its group has a `credit`; with others too many are not noticed.
    """

    name: ClassVar[str] = "room_kept"
    occasion: ClassVar[str] = "more tasks at a time than `max_pending` of the master that asks for them"

    def judge(self, trace: Sequence[t.Event]) -> CheckOutcome:
        breaches = Breaches()
        askers: dict[str, _Bound] = {}
        priorities: dict[str, int] = {}
        takes: dict[str, int] = {}
        there_us: dict[str, int] = {}  # nodes -> since when
        taken = waited = 0
        for event in of_kinds(_OF_INTEREST, trace):
            match event:
                case t.NodeDefined(node=node):
                    takes[node] = event.takes
                case t.ExecutorStarted(asker=name):
                    before = askers.get(name, _Bound(0))
                    askers[name] = _Bound(event.max_pending, open=before.open, over=before.over)
                case t.ExecutorConnected(asker=name):
                    askers[name].connected_us = event.t_us
                case t.ExecutorDisconnected(asker=name):
                    askers[name].connected_us = None
                case t.SaidBack(node=node):
                    there_us.setdefault(node, event.t_us)
                case t.SaidGone(node=node):
                    there_us.pop(node, None)
                case t.TaskAsked(task=task):
                    priorities[task] = event.priority
                case t.TaskSettled(asker=name, task=task) if name in askers:
                    askers[name].open.pop(task, None)
                    askers[name].over.add(task)
                case t.TaskAdmitted(asker=name, task=task):
                    asker = askers[name]
                    if task in asker.open or task in asker.over:
                        continue
                    taken += 1
                    asker.open[task] = priorities[task]
                    most = max(asker.most, 2 * sum(takes.values()))
                    if all(takes.values()) and _before(asker, priorities[task]) > most:
                        breaches.add("one too many is taken", event)
                case t.TaskBacklogged(asker=name, task=task):
                    waited += 1
                    asker = askers[name]
                    since_us = event.t_us - round(SEEN_S * 1e6)
                    seen = asker.connected_us is not None and asker.connected_us <= since_us
                    there = sum(takes[n] for n, us in there_us.items() if us <= since_us and n in takes)
                    if _before(asker, priorities[task]) < max(asker.most, 2 * there if seen else 0):
                        breaches.add("there was room for it", event)
        figures: dict[str, float | int | str] = {"taken": taken, "waited": waited}
        if breaches:
            return breaches.outcome("room for tasks is not what was declared: ", figures)
        if not waited:
            return inconclusive("no task met the bound `max_pending`", figures)
        times = number_of(waited, "time")
        return held(f"{number_of(taken, 'task')} taken, and {times} one had to wait for room", figures)


def _before(asker: _Bound, priority: int) -> int:
    """Count what is on its way that a task of this priority would not pass."""
    return sum(other >= priority for other in asker.open.values())
