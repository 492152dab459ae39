"""Check: what breaks the protocol is rejected by those whom it reaches, and nothing else is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import ClassVar

from dcompute.parts import noun, number_of
from dcompute_sim import trace as t
from dcompute_sim.checks.check import Check, CheckOutcome, failed, held, inconclusive
from dcompute_sim.checks.ledger import Ledger

_MASTER = "master"
_LATE_US = 30_000_000  # a run that ends sooner after a message tells nothing of it


class MalformedRejected(Check):
    """Each message that breaks a limit of the protocol is told as rejected by the node or master whom it is
    for, if that was connected until then; and nobody rejects what is well formed, unless it is retained.

    Limit: what is malformed is heard at the broker model in virtual time. On a status topic the master is
    judged alone: a node that does not understand what is said of it has nothing to tell.
    """

    name: ClassVar[str] = "malformed_rejected"
    occasion: ClassVar[str] = "a run in virtual time, where the broker model hears every word"

    def judge(self, trace: Sequence[t.Event]) -> CheckOutcome:
        ledger = _RejectionLedger().read(trace)
        heard, rejected = ledger.heard, ledger.rejected
        silent, needless = ledger.silent, ledger.needless
        figures = {"malformed": heard, "rejected": rejected, "silent": len(silent), "needless": len(needless)}
        if silent or needless:
            told = (
                f"{len(silent)} of {number_of(heard, 'malformed message')} "
                f"{noun(len(silent), 'was', 'were')} not rejected"
            )
            told += (
                (f", {number_of(len(needless), 'was that is', 'were that are')} well formed")
                if needless
                else ""
            )
            return failed(told, [*silent, *needless], figures)
        if not ledger.listened:
            return inconclusive("nobody listened at the broker: that is done in virtual time", figures)
        return held(
            f"{number_of(heard, 'malformed message')}, {rejected} told as rejected, none without a reason",
            figures,
        )


class _RejectionLedger(Ledger):
    """What is malformed, and who has to tell of it."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = self.rejected = 0
        self.silent: list[t.Event] = []
        self.needless: list[t.Event] = []
        self.listened = False
        self._nodes: set[str] = set()
        self._connected: set[str] = set()
        self._due: defaultdict[tuple[str, str], list[t.Event]] = defaultdict(list)  # for whom, and topic
        self._excused: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.take_in = {
            t.BrokerStopped: self._broker_stopped,
            t.MalformedHeard: self._malformed,
            t.MasterConnected: lambda _: self._connected.add(_MASTER),
            t.MasterDisconnected: lambda _: self._gone(_MASTER),
            t.MasterStopped: lambda _: self._gone(_MASTER),
            t.MessageRejected: self._told,
            t.NodeConnected: lambda event: self._connected.add(event.node),
            t.NodeConnecting: lambda event: self._gone(event.node),
            t.NodeDefined: self._node,
            t.NodeDisconnected: lambda event: self._gone(event.node),
            t.NodeStopped: lambda event: self._gone(event.node),
            t.TaskFromOutside: self._task_from_outside,
            t.WireHeard: self._wire_heard,
        }

    def close(self, end_us: int) -> None:
        for events in self._due.values():
            self.silent += [event for event in events if event.t_us + _LATE_US <= end_us]

    def _malformed(self, event: t.MalformedHeard) -> None:
        self.heard += 1
        node = event.topic.rpartition("/")[2]
        whom = node if node in self._nodes else _MASTER
        if whom in self._connected:
            self._due[whom, event.topic].append(event)
        else:
            self._excused[whom, event.topic] += 1

    def _told(self, event: t.MessageRejected) -> None:
        self.rejected += 1
        who, topic = event.who, event.topic
        if self._due[who, topic]:
            self._due[who, topic].pop(0)
        elif self._excused[who, topic] or self._excused[who, ""]:
            self._excused[who, topic] -= bool(self._excused[who, topic])
        elif who in self._nodes or who == _MASTER:
            self.needless.append(event)

    def _task_from_outside(self, event: t.TaskFromOutside) -> None:
        if event.retain:
            self._excused[event.node, ""] += 1_000_000  # it comes again at every connection

    def _gone(self, who: str) -> None:
        self._connected.discard(who)
        for key in [key for key in self._due if key[0] == who]:
            self._excused[key] += len(self._due.pop(key))

    def _broker_stopped(self, _: t.BrokerStopped) -> None:
        for who in list(self._connected):
            self._gone(who)

    def _node(self, event: t.NodeDefined) -> None:
        if not event.foreign:
            self._nodes.add(event.node)

    def _wire_heard(self, _: t.WireHeard) -> None:
        self.listened = True
