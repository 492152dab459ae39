"""Check: who is at work says so."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import ClassVar

from dcompute.parts import number_of
from dcompute_sim import trace as t
from dcompute_sim.checks.check import Check, CheckOutcome, failed, held, inconclusive
from dcompute_sim.checks.ledger import Ledger

_IDLE = "ready"
_AT_WORK = "busy"


class BusyAtWork(Check):
    """A node's status is `busy` from the first task that it takes until the last is finished, and none waits.

    Whoever chooses a node by its status relies on that: `ready` of one that is at work, also in answer to the
    question "are you there?", brings it work that waits; and one that is `ready` after each of many tasks
    says so to everybody. What came after the last one was finished may be found later.

    Limit: of a program of somebody else, and of one that is read off its wire, it is not known when it works.
    A board whose task was settled meanwhile (another node had done it) finishes it unseen, and is not asked.
    """

    name: ClassVar[str] = "busy_at_work"
    occasion: ClassVar[str] = "tasks that are done: a stream under `workload:`"

    def judge(self, trace: Sequence[t.Event]) -> CheckOutcome:
        ledger = _StatusLedger().read(trace)
        finished, wrong = ledger.finished, ledger.wrong
        figures = {"finished": finished, "wrong": len(wrong)}
        if wrong:
            told = (
                f"a node at work, or with work that waits, called itself `{_IDLE}` "
                f"{number_of(len(wrong), 'time')}"
            )
            return failed(told, wrong, figures)
        if not finished:
            return inconclusive("no task was seen at work", figures)
        return held(f"{number_of(finished, 'task')}, at each of which its node was `{_AT_WORK}`", figures)


class _StatusLedger(Ledger):
    """What each node said of itself, and what it had to do meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.finished = 0
        self.wrong: list[t.Event] = []
        self._foreign: set[str] = set()
        self._settled: set[str] = set()
        self._boards: dict[str, None] = {}  # of which a result is all that is seen of a task's end
        self._at_work: defaultdict[str, set[str]] = defaultdict(set)
        self._received = 0
        self._waiting: defaultdict[str, dict[str, int]] = defaultdict(dict)  # which of all that were received
        self._found_by: dict[str, int] = {}  # node -> how many were received when it finished its last one
        self._status: dict[str, str] = {}
        self.take_in = {
            t.NodeDefined: self._node,
            t.NodeStarted: self._started,
            t.NodeStopped: self._stopped,
            t.ParticipantDefined: self._participant,
            t.StatusPublished: self._says,
            t.TaskFinished: self._task_finished,
            t.TaskReceived: self._task_received,
            t.TaskSettled: self._task_settled,
            t.TaskTaken: self._task_taken,
            t.TaskWithdrawn: lambda event: self._waiting[event.node].pop(event.task, None),
        }

    # --- who is there ------------------------------------------------------------------------------------

    def _node(self, event: t.NodeDefined) -> None:
        if event.foreign:
            self._foreign.add(event.node)
        elif event.kind != "python":
            self._boards[event.node] = None

    def _participant(self, event: t.ParticipantDefined) -> None:
        if event.node in self._foreign:  # a clone is what its double is
            self._foreign.add(event.name)
        if event.node in self._boards:
            self._boards[event.name] = None

    def _started(self, event: t.NodeStarted) -> None:
        for of_its_life in (self._at_work, self._waiting, self._status):
            of_its_life.pop(event.node, None)

    def _stopped(self, event: t.NodeStopped) -> None:
        if event.how != "hang":
            self._at_work.pop(event.node, None)

    # --- what it has to do, and says ---------------------------------------------------------------------

    def _task_received(self, event: t.TaskReceived) -> None:
        self._received += 1
        self._waiting[event.node][event.task] = self._received

    def _task_taken(self, event: t.TaskTaken) -> None:
        if event.node not in self._foreign:
            self._waiting[event.node].pop(event.task, None)
            if event.task not in self._settled or event.node not in self._boards:
                self._at_work[event.node].add(event.task)

    def _task_settled(self, event: t.TaskSettled) -> None:
        self._settled.add(event.task)
        for node in self._boards:
            self._at_work[node].discard(event.task)

    def _task_finished(self, event: t.TaskFinished) -> None:
        if event.task in self._at_work[event.node]:
            self._at_work[event.node].discard(event.task)
            self._found_by[event.node] = self._received
            self.finished += 1
            if self._status.get(event.node) == _IDLE:
                self.wrong.append(event)

    def _says(self, event: t.StatusPublished) -> None:
        node = event.node
        before, self._status[node] = self._status.get(node), event.status
        oldest = next(iter(self._waiting[node].values()), math.inf)
        overlooks = before == _AT_WORK and oldest <= self._found_by.get(node, 0)
        if event.status == _IDLE and (self._at_work[node] or overlooks):
            self.wrong.append(event)
