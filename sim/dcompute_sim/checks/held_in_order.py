"""Check: what waits for a connection goes in its order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from dcompute_sim import trace as t
from dcompute_sim.checks.breaches import Breaches
from dcompute_sim.checks.check import Check, CheckOutcome, held, inconclusive, of_kinds

_OF_LINKS = frozenset(
    {
        t.MasterConnected,
        t.NodeDefined,
        t.NodeStarted,
        t.ParticipantDefined,
        t.ResultDropped,
        t.ResultHeld,
        t.ResultReceived,
        t.TaskHeard,
        t.TaskSent,
    }
)


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
        who = t.Participants()
        nodes: defaultdict[str, _Results] = defaultdict(_Results)
        passed_over: set[str] = set()  # foreign, or with a clone, whose results are told under one id
        hold_limit: dict[str, int] = {}
        sent: dict[tuple[str, int], tuple[int, int]] = {}  # task, attempt -> its turn: urgency, then order
        connected_us = 0
        held_until = 0  # of the tasks sent so far, how many the master held when it connected
        turn: tuple[int, int] | None = None
        breaches = Breaches()
        judged = 0
        for event in of_kinds(_OF_LINKS, trace):
            match event:
                case t.ResultHeld(node=node, task=task):
                    results = nodes[node]
                    if task in results.place:
                        results.place[task] = -1
                    else:
                        results.place[task] = results.count
                        results.given_us[task] = event.t_us
                    results.count += 1
                case t.ResultReceived(node=node, task=task, asker="") if node not in passed_over:
                    results = nodes[node]
                    place = results.place.get(task, -1)
                    if place < 0 or results.given_us[task] <= connected_us:
                        continue
                    judged += 1
                    if place < results.newest:
                        breaches.add("a result came after a later one", event)
                    results.newest = max(results.newest, place)
                case t.ResultDropped(node=node, task=task):
                    results = nodes[node]
                    newer = results.count - 1 - results.place.get(task, -1)
                    if results.place.get(task, -1) >= 0 and newer < hold_limit.get(node, 0):
                        breaches.add("a result was dropped though older ones were held", event)
                case t.TaskSent(task=task, asker=""):
                    sent[task, event.attempt] = -event.priority, len(sent)
                case t.MasterConnected():
                    connected_us = event.t_us
                    held_until, turn = len(sent), None
                    for results in nodes.values():
                        results.newest = -1
                case t.TaskHeard(task=task):
                    its = sent.get((task, event.attempt))
                    if its is not None and its[1] < held_until:
                        judged += 1
                        if turn is not None and its < turn:
                            breaches.add("a held task went before one whose turn it was", event)
                        turn = its
                case t.NodeStarted(node=node):
                    nodes.pop(node, None)
                case t.NodeDefined(node=node):
                    hold_limit[node] = event.hold_limit
                    if event.foreign:
                        passed_over.add(node)
                case t.ParticipantDefined():
                    who.add(event)
                    passed_over.add(who.owner(event.name))
        figures: dict[str, float | int | str] = {"judged": judged}
        if breaches:
            return breaches.outcome("", figures)
        if not judged:
            return inconclusive("no result arrived of which the order is known", figures)
        return held(f"{judged} results and held tasks, all in their order", figures)
