"""Check: what the master's public API says is what the master knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

from dcompute_sim import trace as t
from dcompute_sim.checks.check import Check, CheckOutcome, excused, inconclusive
from dcompute_sim.checks.ledger import Ledger
from dcompute_sim.trace.replayer import Replay

_LATE_US = 1_000_000  # from a death to the callback that names it


class MasterApi(Check):
    """The master's public API tells a program what its observer tells the testbed, no more and no less.

    The dead-nodes callback names each death once, in order, within a second. `get_dead_nodes` gives every
    death since it was last emptied, and is empty then. `get_results` gives every result once, as accepted,
    and removes it. At the end `get_node_info` and `get_nodes_by_status` have the status and incarnation that
    were last seen, in copies that a caller may change; the counters count what was seen, and the results that
    were never given are those that were dropped, beyond what a master keeps; of a node that was forgotten
    (`forgets`) and has not come back nothing is said; `last_error` is empty while the
    master is connected, or names a topic that seems to be denied; without a connection it says something.

    Limit: what a master had not told when it crashed is excused, for nobody was left to be told; a death or
    result of the last second of a run is not waited for.
    """

    name: ClassVar[str] = "master_api"
    occasion: ClassVar[str] = "nodes or tasks that the master can be asked about"

    def judge(self, trace: Sequence[t.Event]) -> CheckOutcome:
        ledger = _MasterLedger().read(trace)
        if not ledger.answers and not ledger.breaches:
            return inconclusive("nothing was asked of the master's API", dict(ledger.judged))
        untold = {"not told yet when the master crashed": ledger.excused} if ledger.excused else {}
        excuse = excused(untold, sum(ledger.judged.values()) - ledger.excused)
        return ledger.outcome(
            f"true in all it said: {ledger.told()}{excuse}",
            broken="the API is wrong: ",
            untested="the master knew of no node: its API had nothing to say",
        )


class _MasterLedger(Ledger):
    """What the API still owes the program above it."""

    def __init__(self) -> None:
        super().__init__("deaths", "results", "answers about nodes")
        self.answers = 0
        self.excused = 0  # deaths and results that a master had not told when it crashed
        self._callbacks: list[t.DeathReported] = []  # deaths that the callback has not named
        self._dead: dict[str, None] = {}  # deaths that were not taken
        self._results: Counter[tuple[str, str]] = Counter()  # accepted and not taken
        self._result_events: dict[tuple[str, str], t.Event] = {}
        self._replay = Replay()
        self._before: dict[str, tuple[str, str]] = {}  # what a master that remembers knew when it crashed
        self._counters: Counter[str] = Counter()
        self._connected = False
        self.take_in = {
            t.MasterStarted: self._started,
            t.MasterStopped: self._stopped,
            t.MasterConnected: self._master_connected,
            t.MasterDisconnected: self._master_disconnected,
            t.DeathReported: self._death,
            t.DeathsCalledBack: self._called_back,
            t.DeadNodesTaken: self._dead_taken,
            t.ResultReceived: self._result,
            t.ResultTaken: self._result_taken,
            t.ResultsLeft: self._results_left,
            t.ResultDuplicate: self._duplicate,
            t.StaleDeathIgnored: lambda _: self._counters.update(["stale_deaths"]),
            t.MessageRejected: self._rejected,
            t.NodeStatusSeen: self._replay.take_in,
            t.NodeForgotten: self._forgotten,
            t.MasterPolled: self._polled,
            t.MasterAnswered: self._answered,
            t.MasterCounted: self._counted,
        }

    def close(self, end_us: int) -> None:
        self._overdue(end_us)
        if self.answers:
            for key, count in self._results.items():
                if count > 0 and self._result_events[key].t_us < end_us - _LATE_US:
                    self.breaches.add("a result that get_results never gave", self._result_events[key])

    # --- the master -------------------------------------------------------------------------------------

    def _started(self, event: t.MasterStarted) -> None:
        self._callbacks.clear()
        self._dead.clear()
        self._results.clear()
        nodes = self._replay.nodes.items() if event.remembers else ()
        self._before = {name: (node.status, node.status_inc) for name, node in nodes if node.status}
        self._replay.take_in(event)
        self._counters.clear()
        self._connected = False

    def _stopped(self, event: t.MasterStopped) -> None:
        self._overdue(event.t_us)
        self.excused += len(self._callbacks) + max(0, self._results.total())
        self._callbacks.clear()
        self._results.clear()

    def _master_connected(self, event: t.MasterConnected) -> None:
        self._counters["connections"] += 1
        self._connected = True

    def _master_disconnected(self, event: t.MasterDisconnected) -> None:
        self._connected = False

    def _polled(self, event: t.MasterPolled) -> None:
        if event.connected != self._connected:
            self.breaches.add("is_connected", event)
        # With a connection, only what it suspects of it may stand there: that some topic is denied.
        denied = event.connected and "access rules" in event.last_error
        if bool(event.last_error) == event.connected and not denied and self._counters["connections"]:
            self.breaches.add("last_error", event)

    # --- deaths -----------------------------------------------------------------------------------------

    def _death(self, event: t.DeathReported) -> None:
        self._overdue(event.t_us)
        self.judged["deaths"] += 1
        self._callbacks.append(event)
        self._dead.setdefault(event.node)

    def _overdue(self, now_us: int) -> None:
        while self._callbacks and now_us - self._callbacks[0].t_us > _LATE_US:
            self.breaches.add("a death that the callback did not name in time", self._callbacks.pop(0))

    def _called_back(self, event: t.DeathsCalledBack) -> None:
        self._overdue(event.t_us)
        for node in event.nodes:
            due = next((death for death in self._callbacks if death.node == node), None)
            if due is None:
                self.breaches.add("the callback names a death that did not happen, or one again", event)
            else:
                if due is not self._callbacks[0]:
                    self.breaches.add("the callback names deaths out of order", event)
                self._callbacks.remove(due)

    def _dead_taken(self, event: t.DeadNodesTaken) -> None:
        if event.nodes != list(self._dead):
            self.breaches.add("get_dead_nodes", event)
        if event.left:
            self.breaches.add("get_dead_nodes is not empty after it was emptied", event)
        self._dead.clear()

    # --- results ----------------------------------------------------------------------------------------

    def _result(self, event: t.ResultReceived) -> None:
        if event.asker:
            return
        self.judged["results"] += 1
        self._results[event.node, event.task] += 1
        self._result_events[event.node, event.task] = event

    def _duplicate(self, event: t.ResultDuplicate) -> None:
        if not event.asker:
            self._counters["duplicate_results"] += 1

    def _result_taken(self, event: t.ResultTaken) -> None:
        if event.asker:
            return
        key = (event.node, event.task)
        if not self._results[key]:
            self.breaches.add("get_results gives what never came, or again", event)
            return
        self._results[key] -= 1
        received = self._result_events[key]
        assert isinstance(received, t.ResultReceived)
        if received.digest and received.digest != event.value and self._results[key] == 0:
            self.breaches.add("get_results gives another value", event)

    def _results_left(self, event: t.ResultsLeft) -> None:
        what = "get_results gives the same node differently" if event.differing else ""
        self.breaches.add(what or "get_results removes nothing", event)

    # --- nodes and counters -----------------------------------------------------------------------------

    def _rejected(self, event: t.MessageRejected) -> None:
        if event.by_master:
            self._counters["messages_rejected"] += 1

    def _forgotten(self, event: t.NodeForgotten) -> None:
        self._replay.take_in(event)
        self._before.pop(event.node, None)

    def _answered(self, event: t.MasterAnswered) -> None:
        self.answers += 1
        self.judged["answers about nodes"] += 1
        seen = self._replay.nodes[event.node]
        status, inc = (
            (seen.status, seen.status_inc) if seen.status else self._before.get(event.node, ("", ""))
        )
        if not status or (event.status, event.inc) != (status, inc):
            self.breaches.add("get_node_info", event)
        if not event.listed:
            self.breaches.add("get_nodes_by_status", event)
        if event.shared:
            self.breaches.add("get_node_info gives its own record, not a copy", event)
        if event.sends:
            self.breaches.add("send_task to a node that is gone", event)

    def _counted(self, event: t.MasterCounted) -> None:
        self.answers += 1
        if self._dead:  # they were asked for just now
            self.breaches.add("a death that get_dead_nodes never gave", event)
        if dropped := event.values.get("results_dropped", 0):
            if dropped != self._results.total():
                self.breaches.add("the counter results_dropped", event)
            self._results.clear()
        for name in ("connections", "messages_rejected", "duplicate_results", "stale_deaths"):
            if event.values.get(name) != self._counters[name]:
                self.breaches.add(f"the counter {name}", event)
