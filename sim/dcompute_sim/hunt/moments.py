"""Moments of a run at which a fault could strike another time: events by which a scenario can name them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dcompute_sim import trace as t

_AT = {
    t.NodeConnecting: "node_connecting",
    t.NodeSubscribing: "node_subscribing",
    t.NodeConnected: "node_connected",
    t.NodeDisconnected: "node_disconnected",
    t.NodeStopped: "node_stopped",
    t.StatusRepaired: "status_repaired",
    t.TaskReceived: "task_received",
    t.TaskTaken: "task_taken",
    t.TaskFinished: "task_finished",
    t.ResultHeld: "result_held",
    t.ResultReceived: "result_received",
    t.DeathReported: "death_reported",
    t.StaleDeathIgnored: "stale_death_ignored",
    t.BrokerStarted: "broker_started",
    t.MasterStarted: "master_started",
    t.MasterConnected: "master_connected",
}
"""The events at which somebody is in between: what was said may not have arrived, what is due not be done."""

STAGES = ("node_connecting", "node_subscribing", "node_connected")
"""What a connection goes through, one after the other."""
_A_KIND = 3  # at most of one kind at one node: tasks are many, and much alike


@dataclass(frozen=True)
class Moment:
    """The `count`th `event` of this node (of anybody when it is of none), which was at `t_s` in that run.

    Attributes:
        came: how often each event of the node had come by then, this one included.
    """

    event: str
    node: str
    count: int
    t_s: float
    came: Mapping[str, int] = field(default_factory=dict, compare=False)


def moments(events: Iterable[t.Event], rng: random.Random, until_s: float) -> list[Moment]:
    """Choose some of each kind at each node, before `until_s`; all stages of its connections, for what comes
    next is told by how many there were."""
    until_us = until_s * 1e6
    found: dict[tuple[str, str], list[tuple[int, int, float]]] = {}  # counts, of its own kind and of all
    words: dict[str, list[str]] = {}  # of each node, in order
    for event in events:
        word = _AT.get(type(event))
        if word is None:
            continue
        if event.t_us >= until_us:
            break
        node = getattr(event, "node", "")
        of_node = words.setdefault(node, [])
        of_node.append(word)
        of_kind = found.setdefault((word, node), [])
        of_kind.append((len(of_kind) + 1, len(of_node), event.t_s))
    return [
        Moment(word, node, count, t_s, Counter(words[node][:so_far]))
        for (word, node), of_kind in found.items()
        for count, so_far, t_s in (
            of_kind if len(of_kind) <= _A_KIND or word in STAGES else rng.sample(of_kind, _A_KIND)
        )
    ]
