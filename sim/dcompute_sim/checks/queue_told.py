"""Check: what an executor says of its queue to whoever watches is so, and it says it as often as declared.

What is said was so at one moment of the last WITHIN_S before it was heard: how many were asked for, are over,
are over without a result, and of which priorities those are that are not over. That is known from what was
asked and what was told; the executor's own `counters()` are not asked.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from dcompute_sim import trace as t
from dcompute_sim.checks.check import Check, CheckOutcome
from dcompute_sim.checks.ledger import Ledger

WITHIN_S = 1.0
_WITHOUT_RESULT = ("result", "cancelled")
Known = tuple[int, int, int, dict[str, int]]
"""Asked for, over, over without a result, and by priority what is not over."""


class QueueToldRightly(Check):
    """An executor with `tell` says what its queue is: so often, and as it is.

    Limit: how many nodes it sees, and which of the open tasks are at nodes, is not judged; of an executor
    that was started again only what is not over.
    """

    name: ClassVar[str] = "queue_told"
    occasion: ClassVar[str] = "a master with `tell`, and work"

    def judge(self, trace: Sequence[t.Event]) -> CheckOutcome:
        ledger = _QueueLedger().read(trace)
        return ledger.outcome(
            f"as it was: {ledger.told()}",
            broken="what is told of queues is wrong: ",
            untested="no executor was connected for long enough to tell its queue",
        )


@dataclass(slots=True)
class _Teller:
    boot: int
    every_us: int
    asked: int = 0
    over: int = 0
    failed: int = 0
    open: dict[str, int] = field(default_factory=dict)  # tasks -> priority
    due_us: int | None = None  # by when the next is to be heard
    last: t.Event | None = None  # from when that counts: it connected, or told
    lately: deque[tuple[int, Known]] = field(default_factory=deque)


class _QueueLedger(Ledger):
    def __init__(self) -> None:
        super().__init__("queues told", "moments at which one was due")
        self._tellers: dict[str, _Teller] = {}
        self.take_in = {
            t.ExecutorStarted: self._started,
            t.ExecutorConnected: self._connected,
            t.ExecutorDisconnected: self._lost,
            t.ExecutorStopped: self._lost,
            t.TaskAsked: self._asked,
            t.TaskBacklogged: self._backlogged,
            t.TaskAdmitted: self._admitted,
            t.TaskSettled: self._settled,
            t.QueueTold: self._told,
        }
        self._waiting: dict[str, int] = {}  # tasks that were not taken yet -> priority

    def close(self, end_us: int) -> None:
        for teller in self._tellers.values():
            self._overdue(teller, end_us)

    def _started(self, event: t.ExecutorStarted) -> None:
        if event.tell_us:
            before = self._tellers.get(event.asker)
            teller = _Teller(event.boot, event.tell_us, open=before.open if before else {})
            self._tellers[event.asker] = teller
            self._note(teller, event.t_us)

    def _connected(self, event: t.ExecutorConnected) -> None:
        if (teller := self._tellers.get(event.asker)) is not None:
            self._owes(teller, event)

    def _lost(self, event: t.ExecutorDisconnected | t.ExecutorStopped) -> None:
        if (teller := self._tellers.get(event.asker)) is not None:
            self._overdue(teller, event.t_us)
            teller.due_us = None

    def _overdue(self, teller: _Teller, now_us: int) -> None:
        while teller.due_us is not None and teller.due_us < now_us:
            assert teller.last is not None
            self.judged["moments at which one was due"] += 1
            self.breaches.add("none was heard", teller.last)
            teller.due_us += teller.every_us

    def _owes(self, teller: _Teller, event: t.Event) -> None:
        teller.due_us = event.t_us + teller.every_us + round(WITHIN_S * 1e6)
        teller.last = event

    def _asked(self, event: t.TaskAsked) -> None:
        if (teller := self._tellers.get(event.asker)) is not None:
            teller.asked += 1
            teller.open[event.task] = event.priority
            self._note(teller, event.t_us)

    def _backlogged(self, event: t.TaskBacklogged) -> None:
        teller = self._tellers.get(event.asker)
        if teller is not None and event.task in teller.open:
            teller.asked -= 1
            self._waiting[event.task] = teller.open.pop(event.task)
            self._note(teller, event.t_us)

    def _admitted(self, event: t.TaskAdmitted) -> None:
        teller = self._tellers.get(event.asker)
        if teller is not None and event.task in self._waiting:
            teller.asked += 1
            teller.open[event.task] = self._waiting.pop(event.task)
            self._note(teller, event.t_us)

    def _settled(self, event: t.TaskSettled) -> None:
        if (teller := self._tellers.get(event.asker)) is not None:
            teller.over += 1
            teller.failed += event.outcome not in _WITHOUT_RESULT
            teller.open.pop(event.task, None)
            self._note(teller, event.t_us)

    def _note(self, teller: _Teller, now_us: int) -> None:
        counts = Counter(map(str, teller.open.values()))
        teller.lately.append((now_us, (teller.asked, teller.over, teller.failed, dict(counts))))
        while len(teller.lately) > 1 and teller.lately[1][0] < now_us - round(WITHIN_S * 1e6):
            teller.lately.popleft()

    def _told(self, event: t.QueueTold) -> None:
        teller = self._tellers.get(event.asker)
        if teller is None:
            self.breaches.add("one that was not asked for", event)
            return
        self._overdue(teller, event.t_us)
        self.judged["queues told"] += 1
        if teller.due_us is not None:
            self.judged["moments at which one was due"] += 1
            self._owes(teller, event)
        self._note(teller, event.t_us)
        said = (event.submitted, event.done, event.failed, event.by_priority)
        first = 0 if teller.boot == 1 else 3
        if said[first:] not in [known[first:] for _, known in teller.lately]:
            self.breaches.add("counts that it had at no moment just before", event)
        if event.waiting + event.at_nodes != sum(event.by_priority.values()):
            self.breaches.add("counts that do not add up", event)
