"""Check: work given to an executor is done, once, and its asker is told once.

Judged from the ledger that the testbed's nodes keep of every execution (`execution_began`, `task_finished`)
and from what the futures said (`task_settled`): neither is the protocol's own account of itself.

1. One result, or one other end, for each task to its asker, over all lives of the asker that share a journal.
   What it had asked for before it lost its journal is `forgotten`, and no fault; an asker that is not there
   at the end is owed nothing.
2. What a result is told of was executed.
3. No task is executed twice in one life of one node, unless it had failed there, or the node has told that it
   had no room to keep the result: then only another attempt has one. That is what a node's memory of its
   askers is for. Excused, and counted, is another attempt at a node that its clone had thrown out, or that
   had thrown the clone out, since the task was first sent there: each of the two is a new life to the asker
   then; and another attempt at an older node, which repeats nothing. The same attempt never runs twice.
4. A task that is to run `once` is executed once at most, wherever.

A second execution in another life, or on another node, is no fault: who lost its memory, or could not be
reached for long, cannot tell whether it had run. It is counted and named, for it is what `once` costs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from dcompute.parts import number_of
from dcompute_sim import trace as t
from dcompute_sim.checks.check import (
    Check,
    CheckOutcome,
    excused,
    failed,
    held,
    inconclusive,
    named,
)
from dcompute_sim.checks.ledger import Ledger
from dcompute_sim.checks.tasks import cut_short

RESULTS = ("result", "failed")
"""Outcomes that a node has told, so that it must have executed the task."""


@dataclass(slots=True)
class _Work:
    asked: t.TaskAsked
    owed: bool = True
    settled: list[t.TaskSettled] = field(default_factory=list)
    executions: list[t.ExecutionBegan] = field(default_factory=list)


class DoneOnce(Check):
    """Each task of an executor has one end, told to its asker once, and is never run twice in one life.

    A task that is to run `once` is run once at most, over all lives of all nodes. Second executions of other
    tasks in other lives are counted and named: only who has lost its memory, or could not be reached, has a
    task done again. What an asker had asked that lost its journal, or never came back, is not owed.

    Limit: programs that are not ours keep no ledger; of tasks they may have had, only the ends are judged.
    """

    name: ClassVar[str] = "done_once"
    occasion: ClassVar[str] = "tasks that an executor is asked for: a stream under `workload:`"

    def judge(self, trace: Sequence[t.Event]) -> CheckOutcome:
        ledger = _WorkLedger().read(trace)
        work = ledger.work
        if not work:
            return inconclusive("no executor was asked for work")
        wrong, reasons = ledger.faults()
        again = [name for name, entry in work.items() if len(entry.executions) > 1]
        ended = sum(bool(entry.settled) for entry in work.values())
        figures = {
            "asked": len(work),
            "ended": ended,
            "executions": sum(len(entry.executions) for entry in work.values()),
            "run_again": len(again),
            "forgotten": sum(
                entry.settled[0].outcome == "forgotten" for entry in work.values() if entry.settled
            ),
            "not_owed": sum(not entry.owed for entry in work.values()),
        }
        open_ = [entry.asked for entry in work.values() if entry.owed and not entry.settled]
        told = f"{ended} of {number_of(len(work), 'task')} ended, {len(again)} of them run again"
        if again:
            told += f" ({named(again)})"
        why = Counter(f"another attempt {where}" for where in ledger.excused.values())
        told += excused(why, len(again) - len(ledger.excused))
        if wrong:
            return failed(f"{told}; {'; '.join(reasons)}", wrong, figures)
        if open_ and cut_short(trace):
            return inconclusive(f"{told}, when the run was interrupted", figures)
        if open_:
            return failed(
                f"of {len(open_)} of {number_of(len(work), 'task')} the asker never heard", open_, figures
            )
        if not figures["executions"] and not ledger.foreign:
            return inconclusive(f"{told}; none was executed", figures)
        return held(told, figures)


class _WorkLedger(Ledger):
    def __init__(self) -> None:
        super().__init__()
        self.work: dict[str, _Work] = {}
        self.foreign = False
        self.excused: dict[str, str] = {}  # tasks -> where they may run again
        self._older: set[str] = set()
        self._id_of: dict[str, str] = {}  # clones and their doubles -> whose id both have
        self._thrown_out_us: dict[str, int] = {}  # id that two have -> when one threw the other out last
        self._sent_us: dict[tuple[str, str], int] = {}  # (node, task) -> when it was first sent there
        self._again: set[tuple[str, str]] = set()  # (node, task): it may run there again
        self._faults: dict[str, list[t.Event]] = {}
        self._gone: dict[str, None] = {}  # askers that are down
        self.take_in = {
            t.NodeDefined: self._node,
            t.ParticipantDefined: self._participant,
            t.NodeConnecting: self._connects,
            t.NodeConnected: self._connects,
            t.TaskSent: self._sent,
            t.TaskAsked: self._asked,
            t.TaskSettled: self._settled,
            t.ExecutionBegan: self._began,
            t.TaskFinished: self._finished,
            t.ResultForgotten: self._forgotten,
            t.ExecutorStarted: self._asker_started,
            t.ExecutorStopped: self._asker_stopped,
            t.RunEnded: self._ended,
        }

    def faults(self) -> tuple[list[t.Event], list[str]]:
        """Return the events that broke it, and in words how many of which kind."""
        events = [event for events in self._faults.values() for event in events]
        return events, [f"{len(events)} {what}" for what, events in self._faults.items()]

    def _fault(self, what: str, *events: t.Event) -> None:
        self._faults.setdefault(what, []).extend(events)

    def _node(self, event: t.NodeDefined) -> None:
        self.foreign |= event.foreign or event.kind == "board"
        if event.older:
            self._older.add(event.node)

    def _participant(self, event: t.ParticipantDefined) -> None:
        if event.role is t.Role.CLONE:
            self._id_of |= {event.name: event.node, event.node: event.node}

    def _sent(self, event: t.TaskSent) -> None:
        self._sent_us.setdefault((event.node, event.task), event.t_us)

    def _connects(self, event: t.NodeConnecting | t.NodeConnected) -> None:
        if event.node in self._id_of:
            self._thrown_out_us[self._id_of[event.node]] = event.t_us

    def _asked(self, event: t.TaskAsked) -> None:
        if event.asker:
            self.work[event.task] = _Work(event)

    def _settled(self, event: t.TaskSettled) -> None:
        entry = self.work.get(event.task)
        if entry is None or entry.asked.asker != event.asker:
            self._fault("told to somebody who had not asked", event)
            return
        if entry.settled:
            self._fault("told a second time", event)
        if event.outcome in RESULTS and not entry.executions and not self.foreign:
            self._fault("told of what was never run", event)
        entry.settled.append(event)

    def _began(self, event: t.ExecutionBegan) -> None:
        entry = self.work.get(event.task)
        if entry is None:
            return
        here = (event.node, event.task)
        before = [run for run in entry.executions if (run.node, run.life) == (event.node, event.life)]
        if before and here not in self._again:
            node_id = self._id_of.get(event.node, event.node)
            sent_us = self._sent_us.get((node_id, event.task), event.t_us)
            is_other = all(run.attempt != event.attempt for run in before)
            if is_other and self._thrown_out_us.get(node_id, -1) >= sent_us:
                self.excused[event.task] = "beside a clone"
            elif is_other and event.node in self._older:
                self.excused[event.task] = "at an older node"
            else:
                self._fault("run twice in one life of a node", event)
        if entry.executions and entry.asked.once:
            self._fault("run again although they were to run once", event)
        self._again.discard(here)
        entry.executions.append(event)

    def _finished(self, event: t.TaskFinished) -> None:
        if not event.ok:
            self._again.add((event.node, event.task))

    def _forgotten(self, event: t.ResultForgotten) -> None:
        # It repeats that until it has heard that it is settled; only what has run is forgotten.
        ran = self.work.get(event.task)
        if ran is not None and any(
            (run.node, run.attempt) == (event.node, event.attempt) for run in ran.executions
        ):
            self._again.add((event.node, event.task))

    def _asker_started(self, event: t.ExecutorStarted) -> None:
        self._gone.pop(event.asker, None)

    def _asker_stopped(self, event: t.ExecutorStopped) -> None:
        self._gone[event.asker] = None

    def _ended(self, event: t.RunEnded) -> None:
        for entry in self.work.values():
            if entry.asked.asker in self._gone and not entry.settled:
                entry.owed = False
