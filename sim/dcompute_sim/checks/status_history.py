"""Check: the statuses of each node follow each other as they may."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from dcompute.parts import number_of
from dcompute_sim import trace as t
from dcompute_sim.checks.check import Check, CheckOutcome, failed, held, inconclusive
from dcompute_sim.checks.history import ANNOUNCED, LIFELESS


@dataclass(slots=True)
class _NodeHistory:
    """What was said and seen of one node so far."""

    order: dict[str, int] = field(default_factory=dict)  # incarnations in order of connection
    whose: dict[str, str] = field(default_factory=dict)  # the node's, or its clone's
    seen: str = ""  # the newest incarnation the master has seen
    only_announced: bool = True  # of its statuses the master has seen none
    past: set[str] = field(default_factory=set)  # those it had seen before
    over: set[str] = field(default_factory=set)  # incarnations the master has seen end
    repaired: set[str] = field(default_factory=set)
    left: set[str] = field(default_factory=set)  # incarnations that said `offline` themselves


class StatusHistory(Check):
    """Legal steps only: no life after `dead` or `offline`, and no return of an earlier incarnation.

    Each connection has an incarnation of its own, after a reboot too: else an old will would be about it.
    An incarnation seen dead may be seen alive again only after its node repaired the status (the `dead` was
    not true). Of a node and its clone the broker decides which connected last: either may follow the other,
    but none comes back once the other was seen. A node never calls itself `dead`, and after `offline` says
    nothing else. A new master starts with a clean slate, and what was only announced gives way to the first
    status. Limit: statuses without incarnation are taken at
    their word.
    """

    name: ClassVar[str] = "status_history"
    occasion: ClassVar[str] = "nodes that connect"

    def judge(self, trace: Sequence[t.Event]) -> CheckOutcome:
        who = t.Participants(trace)
        nodes: dict[str, _NodeHistory] = {}
        illegal: list[t.Event] = []
        steps = 0
        for event in trace:
            match event:
                case t.MasterStarted():
                    for node in nodes.values():
                        node.seen, node.over, node.past = "", set(), set()
                        node.only_announced = True
                case t.NodeConnecting(node=name, inc=inc) | t.NodeConnected(node=name, inc=inc):
                    known = nodes.setdefault(who.owner(name), _NodeHistory())
                    if inc and inc in known.order and isinstance(event, t.NodeConnecting):
                        illegal.append(event)
                    known.order.setdefault(inc, len(known.order))
                    known.whose.setdefault(inc, name)
                case t.StatusRepaired(node=name, inc=inc):
                    nodes.setdefault(who.owner(name), _NodeHistory()).repaired.add(inc)
                case t.StatusPublished(node=name):
                    steps += 1
                    if not _may_publish(nodes.setdefault(who.owner(name), _NodeHistory()), event):
                        illegal.append(event)
                case t.NodeStatusSeen(node=name, inc=inc) if inc:
                    steps += 1
                    if not _may_be_seen(nodes.setdefault(name, _NodeHistory()), event):
                        illegal.append(event)
        figures = {"steps": steps, "illegal": len(illegal)}
        if illegal:
            return failed(
                f"{len(illegal)} of {number_of(steps, 'status', 'statuses')} could not follow "
                "what was before",
                illegal,
                figures,
            )
        if not steps:
            return inconclusive("no status was published or seen", figures)
        return held(f"{number_of(steps, 'status', 'statuses')}, each a legal step", figures)


def _may_publish(node: _NodeHistory, event: t.StatusPublished) -> bool:
    legal = event.status != "dead" and (event.status == "offline" or event.inc not in node.left)
    if event.status == "offline":
        node.left.add(event.inc)
    return legal


def _may_be_seen(node: _NodeHistory, event: t.NodeStatusSeen) -> bool:
    if node.only_announced and event.status != ANNOUNCED:
        node.only_announced = False
        node.seen, node.past = "", set()
    legal = event.inc not in node.past
    if node.whose.get(event.inc, "") == node.whose.get(node.seen, ""):
        legal = legal and node.order.get(event.inc, 0) >= node.order.get(node.seen, 0)
    if event.status in LIFELESS:
        node.over.add(event.inc)
    elif event.inc in node.over:
        legal = legal and event.inc in node.repaired
        node.over.discard(event.inc)
    if legal and event.inc != node.seen:
        node.past.add(node.seen)
        node.seen = event.inc
    return legal
