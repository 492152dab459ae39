"""Check: what breaks the protocol is rejected by those whom it reaches, and nothing else is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import ClassVar

from dcompute_sim import trace as t
from dcompute_sim.checks.check import Check, CheckOutcome, failed, held, inconclusive, of_kinds

_MASTER = "master"
_LATE_US = 30_000_000  # a run that ends sooner after a message tells nothing of it
_OF_REJECTIONS = frozenset(
    {
        t.BrokerStopped,
        t.MalformedHeard,
        t.MasterConnected,
        t.MasterDisconnected,
        t.MasterStopped,
        t.MessageRejected,
        t.NodeConnected,
        t.NodeConnecting,
        t.NodeDefined,
        t.NodeDisconnected,
        t.NodeStopped,
        t.TaskFromOutside,
        t.WireHeard,
    }
)


class MalformedRejected(Check):
    """Each message that breaks a limit of the protocol is told as rejected by the node or master whom it is
    for, if that was connected until then; and nobody rejects what is well formed, unless it is retained.

    Limit: what is malformed is heard at the broker model in virtual time. On a status topic the master is
    judged alone: a node that does not understand what is said of it has nothing to tell.
    """

    name: ClassVar[str] = "malformed_rejected"
    occasion: ClassVar[str] = "a run in virtual time, where the broker model hears every word"

    def judge(self, trace: Sequence[t.Event]) -> CheckOutcome:
        nodes: set[str] = set()
        connected: set[str] = set()
        due: defaultdict[tuple[str, str], list[t.Event]] = defaultdict(list)  # whom it is for, and topic
        excused: defaultdict[tuple[str, str], int] = defaultdict(int)
        needless: list[t.Event] = []
        heard = rejected = 0
        listened = False

        def gone(who: str) -> None:
            connected.discard(who)
            for key in [key for key in due if key[0] == who]:
                excused[key] += len(due.pop(key))

        for event in of_kinds(_OF_REJECTIONS, trace):
            match event:
                case t.NodeDefined(node=node) if not event.foreign:
                    nodes.add(node)
                case t.NodeConnected(node=node):
                    connected.add(node)
                case t.NodeConnecting(node=node) | t.NodeDisconnected(node=node) | t.NodeStopped(node=node):
                    gone(node)
                case t.MasterConnected():
                    connected.add(_MASTER)
                case t.MasterDisconnected() | t.MasterStopped():
                    gone(_MASTER)
                case t.BrokerStopped():
                    for who in list(connected):
                        gone(who)
                case t.MalformedHeard(topic=topic):
                    heard += 1
                    node = topic.rpartition("/")[2]
                    whom = node if node in nodes else _MASTER
                    if whom in connected:
                        due[whom, topic].append(event)
                    else:
                        excused[whom, topic] += 1
                case t.TaskFromOutside(node=node, retain=True):
                    excused[node, ""] += 1_000_000  # it comes again at every connection
                case t.MessageRejected(who=who, topic=topic):
                    rejected += 1
                    if due[who, topic]:
                        due[who, topic].pop(0)
                    elif excused[who, topic] or excused[who, ""]:
                        excused[who, topic] -= bool(excused[who, topic])
                    elif who in nodes or who == _MASTER:
                        needless.append(event)
                case t.WireHeard():
                    listened = True
        end_us = trace[-1].t_us if trace else 0
        silent = [each for events in due.values() for each in events if each.t_us + _LATE_US <= end_us]
        figures = {"malformed": heard, "rejected": rejected, "silent": len(silent), "needless": len(needless)}
        if silent or needless:
            told = f"{len(silent)} of {heard} malformed messages were not rejected"
            told += f", {len(needless)} were that are well formed" if needless else ""
            return failed(told, [*silent, *needless], figures)
        if not listened:
            return inconclusive("nobody listened at the broker: that is done in virtual time", figures)
        return held(
            f"{heard} malformed messages, {rejected} told as rejected, none without a reason", figures
        )
