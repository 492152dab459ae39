"""Check: what a node's program has finished reaches the master.

Rules:

1. Each `task_finished` is a debt of its node; a result at the master, or a repeat of one, pays the oldest
   debt for that task. As many have to come as were finished, though repeats count once for the master. One
   that the master refuses has come, too: whether the task is answered then, `all_tasks_finished` says.
2. A debt is due once its node had a connection without a disturbance for `within`, beside a connected
   master. From then on nothing that happens later excuses it: it should have been there.
3. Excused is what went down with the node (its memory is gone); what the node dropped because it held too
   much, and said so, while it owed as much as it declares to hold; and what was handed to a broker that had
   nobody to give it to: sessions are clean, so a broker keeps nothing for who is absent. `_ON_THE_WAY_US` is
   the time between the broker's acknowledgement and the master, in which a result belongs to neither.
4. Neither due nor excused when the run ends is undecided, and counted, not failed: the run was too short to
   tell.
5. An executor asks again for what it still wants, so of its tasks a result is owed although it was away when
   the result went out; and not any more once the task has its end, from this node or another.
6. A hang stops nothing for good: a program that stands still has its results when it goes on.

The order in `_ResultLedger` follows from rule 2: whatever changes for a node first settles what has become
due under the conditions so far (`_settle`), then changes them (`_changed`).

Rejected: to count finished tasks against results at the end of the run, which calls a result lost that a
crash took, and does not call one lost that came after ten minutes. Rejected, too: to believe the node's
"handed over" (PUBACK): a broker acknowledges what it then drops.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from pydantic import Field

from dcompute.parts import number_of
from dcompute_sim import trace as t
from dcompute_sim.checks.check import Check, CheckOutcome, excused, failed, held, inconclusive
from dcompute_sim.checks.history import is_momentary, is_seen, stops_program
from dcompute_sim.checks.ledger import Ledger
from dcompute_sim.checks.tasks import cut_short, unnamed
from dcompute_sim.faults.fault import Seen
from dcompute_sim.trace.replayer import NodeState, Replay
from dcompute_sim.yamlfile.units import Duration

_AT_THE_END = "undecided when the run ended"
_NOT_WANTED = "of tasks that had their end, or whose asker lost its memory"
_ON_THE_WAY_US = 1_000_000  # at most, from the broker, which has acknowledged it, to the master


class NoLostResults(Check):
    """Every result that a node's program finished reaches the master, if there was a way for it to do so.

    Excused is a result that had not arrived when its node stopped (a hang stops nothing for good); that the
    node dropped because too many were held, and told; or that the node could hand over while the master had
    no connection, or so shortly before that it was still at the broker: sessions are clean, so a broker keeps
    nothing for who is absent. A result is overdue, and no longer excused, once its node was connected without
    a disturbance for `within`, beside a connected master. One that is neither when the run ends is undecided:
    counted, not failed. As many results have to come as a node finished, though repeats are accepted once.

    Undecided beside results that name no task: whether all of them came cannot be known.

    Limit: of nodes that are read off their wire, which shows nothing of tasks being taken, only the first
    result of a task counts. A clone owes nothing, and its result of a task can stand in for its node's. A
    board counts what it drops but does not tell: such a result counts as lost.
    """

    name: ClassVar[str] = "no_lost_results"
    occasion: ClassVar[str] = "results: a stream under `workload:`"

    within: Duration = Field(default=30.0, description="Of undisturbed connection; after it, one is overdue.")

    def judge(self, trace: Sequence[t.Event]) -> CheckOutcome:
        ledger = _ResultLedger(round(self.within * 1e6), t.Participants(trace)).read(trace)
        lost = ledger.lost
        figures = {"arrived": ledger.arrived, "lost": len(lost), **ledger.asides}
        excuses = {why: count for why, count in ledger.asides.items() if why != _AT_THE_END}
        asides = excused(excuses, ledger.arrived + len(lost) + ledger.asides[_AT_THE_END])
        if ledger.asides[_AT_THE_END]:
            asides += f"; {ledger.asides[_AT_THE_END]} {_AT_THE_END}"
        if lost and cut_short(trace):
            return inconclusive(f"interrupted with {number_of(len(lost), 'result')} overdue{asides}", figures)
        if lost:
            return failed(f"{number_of(len(lost), 'result')} never reached the master{asides}", lost, figures)
        if nameless := unnamed(trace):
            return inconclusive(f"{number_of(ledger.arrived, 'result')} arrived{asides}; {nameless}", figures)
        if not ledger.arrived:
            return inconclusive(f"no result arrived{asides}", figures)
        return held(f"{number_of(ledger.arrived, 'result')} arrived, none was lost{asides}", figures)


@dataclass(slots=True, eq=False)
class _Result:
    """A result that has not arrived yet."""

    finished: t.TaskFinished
    asker: str = ""  # the executor that wants it
    out_until_us: float = -math.inf  # until when its node could hand it to the broker; inf: it can now
    arrived: bool = False
    overdue: bool = False
    excuse: str = ""


@dataclass(slots=True, eq=False)
class _NodeDebts:
    """A node and the results it has to deliver."""

    now: NodeState
    undisturbed_since_us: int | None = None
    results: list[_Result] = field(default_factory=list)

    @property
    def reaches_broker(self) -> bool:
        """It has a connection across which bytes go."""
        silenced = any(_disturbs(kind) and is_seen(kind, Seen.SILENCE) for kind in self.now.faults.values())
        return self.now.link == "connected" and not (self.now.is_stalled or silenced)

    @property
    def is_disturbed(self) -> bool:
        return any(map(_disturbs, self.now.faults.values()))


class _ResultLedger(Ledger):
    """Which results are owed to the master, and what became of each."""

    def __init__(self, within_us: int, who: t.Participants) -> None:
        super().__init__()
        self._who = who
        self.arrived = 0
        self.lost: list[t.Event] = []
        self.asides: Counter[str] = Counter()
        self._within_us = within_us
        self._replay = Replay()
        self._hold_limits: dict[str, int] = {}
        self._nodes: dict[str, _NodeDebts] = {}
        self._owed: defaultdict[tuple[str, str], list[_Result]] = defaultdict(list)  # by node and task
        self._finished: set[tuple[str, str]] = set()
        self._wanted_by: dict[str, str] = {}  # tasks of executors that have had no end
        self._of_executors: set[str] = set()  # all of them
        self._of_task: defaultdict[str, list[_Result]] = defaultdict(list)  # for executors
        self._askers_up_us: dict[str, int] = {}
        self.take_in = {
            t.TaskTaken: self._replay.take_in,
            t.TaskFinished: self._task_finished,
            t.ResultReceived: self._result_arrived,
            t.ResultDuplicate: self._result_arrived,
            t.ResultRefused: self._result_arrived,
            t.AttemptFailed: self._result_arrived,
            t.ResultDropped: self._result_dropped,
            t.NodeDefined: self._node_defined,
            t.TaskAsked: self._task_asked,
            t.TaskSettled: self._task_settled,
            t.ExecutorConnected: self._asker_changed,
            t.ExecutorDisconnected: self._asker_changed,
            t.ExecutorStopped: self._asker_changed,
            t.ExecutorStarted: self._asker_started,
            t.NodeStarted: self._node_stopped,  # one whose end nobody saw
            t.NodeStopped: self._node_stopped,
            t.NodeConnecting: self._node_disconnected,
            t.NodeConnected: self._of_node,
            t.NodeDisconnected: self._node_disconnected,
            t.WireOpened: self._of_node,
            t.WireStalled: self._of_node,
            t.WireResumed: self._of_node,
            t.FaultInjected: self._fault,
            t.FaultEnded: self._fault,
            t.BrokerStopped: self._master_gone,
            t.MasterStopped: self._master_gone,
            t.MasterDisconnected: self._master_gone,
            t.MasterConnected: self._replay.take_in,
        }

    def close(self, end_us: int) -> None:
        """Judge what is owed at the end of the run."""
        for node in self._nodes.values():
            self._settle(node, end_us)
        for result in (result for results in self._owed.values() for result in results):
            if result.overdue:
                self.lost.append(result.finished)
            else:
                self.asides[result.excuse or _AT_THE_END] += 1
        self.lost.sort(key=lambda event: event.t_us)

    # --- results ----------------------------------------------------------------------------------------

    def _task_finished(self, event: t.TaskFinished) -> None:
        work = (event.node, event.task)
        if not event.task or self._who.role(event.node) is t.Role.CLONE:
            return
        node = self._node(event.node)
        if work in self._finished and event.task not in node.now.at_work:
            return
        self._finished.add(work)
        self._replay.take_in(event)
        result = _Result(event, self._wanted_by.get(event.task, ""))
        if event.task in self._of_executors and not result.asker:
            result.excuse = _NOT_WANTED
        if result.asker:
            self._of_task[event.task].append(result)
        self._owed[work].append(result)
        node.results.append(result)
        if node.reaches_broker:
            self._go_out(result)

    def _go_out(self, result: _Result) -> None:
        """Let its node hand it over from now on; given to a broker without a master, it is gone."""
        result.out_until_us = math.inf
        if not self._replay.master_is_connected and not result.asker:
            result.excuse = "while the master was away"

    def _result_arrived(self, event: t.ResultReceived | t.ResultDuplicate | t.ResultRefused) -> None:
        owed = self._owed.get((event.node, event.task))
        if owed:
            result = next((result for result in owed if not result.excuse), owed[0])
            owed.remove(result)
            result.arrived = True
            self.arrived += 1

    def _result_dropped(self, event: t.ResultDropped) -> None:
        owed = sum(not (result.arrived or result.excuse) for result in self._node(event.node).results)
        if owed < self._hold_limits.get(event.node, 0):
            return
        for result in self._owed.get((event.node, event.task), ()):
            if not result.excuse:
                result.excuse = "dropped by nodes that held too many"
                return

    # --- executors --------------------------------------------------------------------------------------

    def _task_asked(self, event: t.TaskAsked) -> None:
        if event.asker:
            self._wanted_by[event.task] = event.asker
            self._of_executors.add(event.task)

    def _task_settled(self, event: t.TaskSettled) -> None:
        self._wanted_by.pop(event.task, None)
        for result in self._of_task.pop(event.task, ()):
            result.excuse = result.excuse or _NOT_WANTED

    def _asker_changed(self, event: t.ExecutorConnected | t.ExecutorDisconnected | t.ExecutorStopped) -> None:
        for node in self._nodes.values():
            self._settle(node, event.t_us)
        if isinstance(event, t.ExecutorConnected):
            self._askers_up_us[event.asker] = event.t_us
        else:
            self._askers_up_us.pop(event.asker, None)

    def _asker_started(self, event: t.ExecutorStarted) -> None:
        """Excuse what was done for a life of it that left no journal: nobody asks for that any more."""
        if event.journal != "kept":
            for result in (result for node in self._nodes.values() for result in node.results):
                if result.asker == event.asker:
                    result.excuse = result.excuse or _NOT_WANTED

    # --- nodes ------------------------------------------------------------------------------------------

    def _node_defined(self, event: t.NodeDefined) -> None:
        self._hold_limits[event.node] = event.hold_limit

    def _settle(self, node: _NodeDebts, now_us: int) -> None:
        """See what of the node has become overdue until something changes for it now; forget what is done
        with."""
        node.results = [result for result in node.results if not (result.arrived or result.excuse)]
        since_us = node.undisturbed_since_us
        if since_us is None:
            return
        for result in node.results:
            heard_us = self._askers_up_us.get(result.asker, now_us) if result.asker else 0
            if max(since_us, heard_us, result.finished.t_us) + self._within_us <= now_us:
                result.overdue = True  # whatever happens from now on

    def _node(self, name: str) -> _NodeDebts:
        if name not in self._nodes:
            self._nodes[name] = _NodeDebts(self._replay.nodes[name])
        return self._nodes[name]

    def _changed(self, node: _NodeDebts, now_us: int) -> None:
        """Draw the conclusions from what has changed for the node."""
        reaches_broker = node.reaches_broker
        undisturbed = reaches_broker and not node.is_disturbed
        node.undisturbed_since_us = now_us if undisturbed else None
        if reaches_broker:
            for result in node.results:
                self._go_out(result)

    def _node_stopped(self, event: t.NodeStarted | t.NodeStopped) -> None:
        if isinstance(event, t.NodeStopped) and event.how == "hang":
            return
        node = self._node(event.node)
        self._settle(node, event.t_us)
        for result in node.results:
            result.excuse = "went down with their node"
        self._happened(node, event)

    def _node_disconnected(self, event: t.NodeConnecting | t.NodeDisconnected) -> None:
        node = self._node(event.node)
        self._settle(node, event.t_us)
        before = node.now.inc
        self._replay.take_in(event)
        if before and not node.now.inc:
            for result in node.results:
                result.out_until_us = min(result.out_until_us, event.t_us)
            self._changed(node, event.t_us)

    def _of_node(self, event: t.NodeConnected | t.WireOpened | t.WireStalled | t.WireResumed) -> None:
        """Take something that may change whether its bytes reach the broker."""
        node = self._node(event.node)
        self._settle(node, event.t_us)
        self._happened(node, event)

    def _fault(self, event: t.FaultInjected | t.FaultEnded) -> None:
        node = self._node(event.node)
        kind = event.kind if isinstance(event, t.FaultInjected) else node.now.faults.get(event.fault, "")
        if _disturbs(kind):
            self._settle(node, event.t_us)
            self._happened(node, event)

    def _happened(self, node: _NodeDebts, event: t.Event) -> None:
        self._replay.take_in(event)
        self._changed(node, event.t_us)

    # --- the master -------------------------------------------------------------------------------------

    def _master_gone(self, event: t.BrokerStopped | t.MasterStopped | t.MasterDisconnected) -> None:
        if not self._replay.master_is_connected:
            return
        for node in self._nodes.values():
            self._settle(node, event.t_us)
            for result in node.results:
                if not result.asker and result.out_until_us + _ON_THE_WAY_US >= event.t_us:
                    result.excuse = "with the broker or the master when they parted"
        self._replay.take_in(event)


def _disturbs(kind: str) -> bool:
    """Say whether it keeps results from the broker for a while. What stops the node is told otherwise."""
    hinders = is_seen(kind, Seen.SILENCE, Seen.MAY_BREAK, Seen.DELAY)
    return hinders and not is_momentary(kind) and not stops_program(kind)
