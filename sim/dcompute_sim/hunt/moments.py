"""Moments of a run at which a fault could strike another time: events by which a scenario can name them."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass

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

_A_KIND = 3  # at most of one kind at one node: tasks are many, and much alike


@dataclass(frozen=True)
class Moment:
    """The `count`th `event` of this node (of anybody when it is of none), which was at `t_s` in that run."""

    event: str
    node: str
    count: int
    t_s: float


def moments(events: Iterable[t.Event], rng: random.Random, until_s: float) -> list[Moment]:
    """Choose some of each kind at each node, before `until_s`."""
    until_us = until_s * 1e6
    found: dict[tuple[str, str], list[Moment]] = {}
    for event in events:
        word = _AT.get(type(event))
        if word is None:
            continue
        if event.t_us >= until_us:
            break
        key = (word, getattr(event, "node", ""))
        of_kind = found.setdefault(key, [])
        of_kind.append(Moment(*key, len(of_kind) + 1, event.t_s))
    return [
        moment
        for of_kind in found.values()
        for moment in (of_kind if len(of_kind) <= _A_KIND else rng.sample(of_kind, _A_KIND))
    ]
