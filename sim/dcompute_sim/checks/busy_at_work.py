"""Check: who is at work says so."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import ClassVar

from dcompute.parts import number_of
from dcompute_sim import trace as t
from dcompute_sim.checks.check import Check, CheckOutcome, failed, held, inconclusive, of_kinds

_OF_WORK = frozenset(
    {
        t.NodeDefined,
        t.NodeStarted,
        t.NodeStopped,
        t.ParticipantDefined,
        t.StatusPublished,
        t.TaskFinished,
        t.TaskReceived,
        t.TaskSettled,
        t.TaskTaken,
        t.TaskWithdrawn,
    }
)
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
        foreign: set[str] = set()
        settled: set[str] = set()
        boards: dict[str, None] = {}  # of which a result is all that is seen of a task's end
        at_work: defaultdict[str, set[str]] = defaultdict(set)
        waiting: defaultdict[str, dict[str, int]] = defaultdict(dict)  # which of all that were received
        received = 0
        found_by: dict[str, int] = {}  # node -> how many had been received when it finished its last one
        status: dict[str, str] = {}
        wrong: list[t.Event] = []
        finished = 0
        for event in of_kinds(_OF_WORK, trace):
            match event:
                case t.NodeDefined(node=node, foreign=True):
                    foreign.add(node)
                case t.NodeDefined(node=node, kind=kind) if kind != "python":
                    boards[node] = None
                case t.ParticipantDefined(name=name, node=node):  # a clone is what its double is
                    if node in foreign:
                        foreign.add(name)
                    if node in boards:
                        boards[name] = None
                case t.TaskSettled(task=task):
                    settled.add(task)
                    for node in boards:
                        at_work[node].discard(task)
                case t.NodeStarted(node=node):
                    at_work.pop(node, None)
                    waiting.pop(node, None)
                    status.pop(node, None)
                case t.NodeStopped(node=node) if event.how != "hang":
                    at_work.pop(node, None)
                case t.TaskReceived(node=node, task=task):
                    received += 1
                    waiting[node][task] = received
                case t.TaskWithdrawn(node=node, task=task):
                    waiting[node].pop(task, None)
                case t.TaskTaken(node=node, task=task) if node not in foreign:
                    waiting[node].pop(task, None)
                    if task not in settled or node not in boards:
                        at_work[node].add(task)
                case t.StatusPublished(node=node):
                    before, status[node] = status.get(node), event.status
                    oldest = next(iter(waiting[node].values()), math.inf)
                    overlooks = before == _AT_WORK and oldest <= found_by.get(node, 0)
                    if event.status == _IDLE and (at_work[node] or overlooks):
                        wrong.append(event)
                case t.TaskFinished(node=node, task=task) if task in at_work[node]:
                    at_work[node].discard(task)
                    found_by[node] = received
                    finished += 1
                    if status.get(node) == _IDLE:
                        wrong.append(event)
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
