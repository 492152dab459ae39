"""What an executor decides: which task goes where, and what is asked again."""

from __future__ import annotations

from collections.abc import Iterator

from dcompute.executor.choice import Choice
from dcompute.executor.core import FleetCore
from dcompute.executor.model import Answer, Node, Placement, Task
from dcompute_sim.mutants.catalogue import register


class _NewNumberEachTime(FleetCore):
    """A task that is sent again goes under a new number, so that its node takes it for another one."""

    def _send(self, placement: Placement, now_s: float, *, recall: bool = False) -> None:
        node = placement.node
        if placement.since_s is not None and node.credit and placement.n in node.open:
            del node.open[placement.n]
            node.top += 1
            placement.n = node.top
            node.open[placement.n] = placement
        super()._send(placement, now_s, recall=recall)


class _OnceAgain(FleetCore):
    """A task that is to run once, and may have run, is given out again."""

    def _lost(self, task: Task, node: Node, now_s: float) -> None:
        if task.once and not task.active() and not task.waiting:
            self._next_attempt(task)
        else:
            super()._lost(task, node, now_s)


class _ForgetsOfALife(FleetCore):
    """Takes a node whose connection is new for one whose memory is gone."""

    def _send_again(self, node: Node, now_s: float) -> None:
        for placement in list(node.open.values()):
            if placement.active and placement.since_s is not None and not placement.task.once:
                self._close(placement, now_s)
                self._next_attempt(placement.task)
        super()._send_again(node, now_s)


class _DeafToResults(FleetCore):
    """Of the answers, every fifth goes unheard, and what repeats it too."""

    def answered(self, answer: Answer, now_s: float) -> None:
        if answer.n % 5:
            super().answered(answer, now_s)


class _ByAge(Choice):
    def add(self, task: Task, *, again: bool = False) -> None:
        priority, task.priority = task.priority, 0
        super().add(task, again=again)
        task.priority = priority


class _FirstAskedFirst(FleetCore):
    """Gives tasks out in the order in which they were asked for, whatever their priority."""

    choice_class = _ByAge


class _ByYouth(Choice):
    def add(self, task: Task, *, again: bool = False) -> None:
        self.order -= 2
        super().add(task, again=again)


class _LastAskedFirst(FleetCore):
    """Of equally urgent tasks, gives out the one that was asked for last."""

    choice_class = _ByYouth


class _TakesNothingBack(Choice):
    def recalls(self, now_s: float) -> list[Placement]:
        return []


class _NeverRecalls(FleetCore):
    """Takes nothing back from a node for what is more urgent."""

    choice_class = _TakesNothingBack


class _ByName(Choice):
    def __init__(self) -> None:
        super().__init__()
        self._known: dict[str, Node] = {}

    def rank(self, node: Node, now_s: float) -> None:
        self._known[node.id] = node
        super().rank(node, now_s)

    def candidates(self, task: Task) -> Iterator[Node]:
        first = min((name for name, node in self._known.items() if node.alive), default="")
        return (node for node in super().candidates(task) if node.id == first)


class _OneForAll(FleetCore):
    """Gives all that waits to one node, as long as that is there, and nothing to the others."""

    choice_class = _ByName


register("new-number-each-time", _NewNumberEachTime)
register("once-again", _OnceAgain)
register("forgets-of-a-life", _ForgetsOfALife)
register("deaf-to-results", _DeafToResults)
register("first-asked-first", _FirstAskedFirst)
register("last-asked-first", _LastAskedFirst)
register("one-for-all", _OneForAll)
register("never-recalls", _NeverRecalls)
