"""Check: what a node's public API tells its program is what has happened."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import ClassVar

from dcompute.parts import number_of
from dcompute_sim import trace as t
from dcompute_sim.checks.breaches import Breaches
from dcompute_sim.checks.check import Check, CheckOutcome, held, inconclusive

_COUNTED: dict[type[t.Event], str] = {
    t.NodeConnected: "connections",
    t.ResultDropped: "messages_dropped",
    t.StatusRepaired: "status_repairs",
    t.TaskDropped: "tasks_dropped",
    t.TaskReceived: "tasks_received",
    t.MessageRejected: "messages_rejected",
}
_CALLBACKS = "task_callbacks"


class NodeApi(Check):
    """The counters of each python node that runs at the end are what it has told since it was started, and
    the task callback was called once for each task that arrived.

    Limit: nodes that have no counters, boards among them, are not judged; nor what is counted and told by
    nothing else (`task_repeats`).
    """

    name: ClassVar[str] = "node_api"
    occasion: ClassVar[str] = "a python node that runs at the end: a group under `fleet:`"

    def judge(self, trace: Sequence[t.Event]) -> CheckOutcome:
        told: defaultdict[str, Counter[str]] = defaultdict(Counter)
        breaches = Breaches()
        nodes = 0
        for event in trace:
            match event:
                case t.NodeStarted(node=node):
                    told[node].clear()
                case t.TaskTaken(node=node) | t.TaskWithdrawn(node=node):
                    told[node]["tasks_waiting"] -= 1
                case t.Counters(who=node):
                    nodes += 1
                    expected = told[node]
                    expected["tasks_waiting"] += expected["tasks_received"]
                    expected[_CALLBACKS] = expected["tasks_received"]
                    names = {*_COUNTED.values(), "tasks_waiting", _CALLBACKS} & event.values.keys()
                    for name in sorted(names):
                        if event.values[name] != expected[name]:
                            breaches.add(name, event)
                case _ if type(event) in _COUNTED:
                    node = event.who if isinstance(event, t.MessageRejected) else event.node  # type: ignore[attr-defined]
                    told[node][_COUNTED[type(event)]] += 1
        figures: dict[str, float | int | str] = {"nodes": nodes}
        if breaches:
            return breaches.outcome("counters of nodes do not say what has happened: ", figures)
        if not nodes:
            return inconclusive("no node with counters ran at the end", figures)
        return held(f"the counters of {number_of(nodes, 'node')} say what has happened", figures)
