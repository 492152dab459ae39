"""Check: what waits for a connection goes in its order."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from dcompute.parts import number_of
from dcompute_sim import trace as t
from dcompute_sim.checks.check import Check, CheckOutcome
from dcompute_sim.checks.ledger import Ledger


@dataclass(slots=True)
class _Results:
    """A node's results of this boot, in the order in which its program gave them."""

    place: dict[str, int] = field(default_factory=dict)
    given_us: dict[str, int] = field(default_factory=dict)
    count: int = 0
    newest: int = -1  # that has arrived


class HeldInOrder(Check):
    """The results of a node arrive in the order in which they were given, and the oldest are dropped first;
    of the tasks that a master holds for a connection the most urgent goes first, of equals the oldest.

    Limit: a result from before the master's connection may be late: an older copy went to nobody. Tasks are
    heard at the broker model in virtual time, the first hundred of each connection; programs of somebody else
    are not judged, nor a task that a node did twice, nor what an executor asks for: it asks again in doubt.
    """

    name: ClassVar[str] = "held_in_order"
    occasion: ClassVar[str] = "results: a stream under `workload:`"

    def judge(self, trace: Sequence[t.Event]) -> CheckOutcome:
        ledger = _HeldLedger().read(trace)
        judged = ledger.judged["judged"]
        return ledger.outcome(
            f"{number_of(judged, 'result or held task', 'results and held tasks')}, all in their order",
            broken="",
            untested=ledger.untested(),
        )


class _HeldLedger(Ledger):
    """The results that each node gave, and the tasks that the master had when it last connected."""

    def __init__(self) -> None:
        super().__init__("judged")
        self._who = t.Participants()
        self._nodes: defaultdict[str, _Results] = defaultdict(_Results)
        self._passed_over: set[str] = set()  # foreign, or with a clone, whose results are told under one id
        self._hold_limit: dict[str, int] = {}
        self._sent: dict[tuple[str, int], tuple[int, int]] = {}  # task, attempt -> its turn: urgency, order
        self._connected_us = 0
        self._held_until = 0  # of the tasks sent so far, how many the master held when it connected
        self._turn: tuple[int, int] | None = None
        self._unjudged: Counter[str] = Counter()  # results of which the order is not known, and why
        self.take_in = {
            t.MasterConnected: self._master_connected,
            t.NodeDefined: self._node,
            t.NodeStarted: lambda event: self._nodes.pop(event.node, None),
            t.ParticipantDefined: self._participant,
            t.ResultDropped: self._dropped,
            t.ResultHeld: self._given,
            t.ResultReceived: self._arrived,
            t.TaskHeard: self._heard,
            t.TaskSent: self._task_sent,
        }

    def untested(self) -> str:
        """Tell why nothing was judged."""
        if not self._unjudged:
            return "no result arrived"
        why = "; ".join(f"{count} {what}" for what, count in self._unjudged.most_common())
        return f"the order is known of none of {number_of(self._unjudged.total(), 'result')}: {why}"

    # --- results ------------------------------------------------------------------------------------

    def _given(self, event: t.ResultHeld) -> None:
        results = self._nodes[event.node]
        if event.task in results.place:
            results.place[event.task] = -1
        else:
            results.place[event.task] = results.count
            results.given_us[event.task] = event.t_us
        results.count += 1

    def _arrived(self, event: t.ResultReceived) -> None:
        if event.asker:
            self._unjudged["asked for by an executor, which asks again in doubt"] += 1
            return
        if event.node in self._passed_over:
            self._unjudged["from a program of somebody else, or from one of two with a node's id"] += 1
            return
        results = self._nodes[event.node]
        place = results.place.get(event.task, -1)
        if place < 0:
            self._unjudged["given twice, or in an earlier life of the node"] += 1
            return
        if results.given_us[event.task] <= self._connected_us:
            self._unjudged["given before the master was connected"] += 1
            return
        self.judged["judged"] += 1
        if place < results.newest:
            self.breaches.add("a result came after a later one", event)
        results.newest = max(results.newest, place)

    def _dropped(self, event: t.ResultDropped) -> None:
        results = self._nodes[event.node]
        place = results.place.get(event.task, -1)
        if place >= 0 and results.count - 1 - place < self._hold_limit.get(event.node, 0):
            self.breaches.add("a result was dropped though older ones were held", event)

    # --- tasks --------------------------------------------------------------------------------------

    def _task_sent(self, event: t.TaskSent) -> None:
        if not event.asker:
            self._sent[event.task, event.attempt] = -event.priority, len(self._sent)

    def _master_connected(self, event: t.MasterConnected) -> None:
        self._connected_us = event.t_us
        self._held_until, self._turn = len(self._sent), None
        for results in self._nodes.values():
            results.newest = -1

    def _heard(self, event: t.TaskHeard) -> None:
        its = self._sent.get((event.task, event.attempt))
        if its is not None and its[1] < self._held_until:
            self.judged["judged"] += 1
            if self._turn is not None and its < self._turn:
                self.breaches.add("a held task went before one whose turn it was", event)
            self._turn = its

    # --- nodes --------------------------------------------------------------------------------------

    def _node(self, event: t.NodeDefined) -> None:
        self._hold_limit[event.node] = event.hold_limit
        if event.foreign:
            self._passed_over.add(event.node)

    def _participant(self, event: t.ParticipantDefined) -> None:
        self._who.add(event)
        self._passed_over.add(self._who.owner(event.name))
