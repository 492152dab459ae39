"""From what production code tells its observers to events of the trace.

The tables are complete: an event that is not in them is a TypeError, so that a new one cannot go unseen.
They are asked by whoever writes a trace, without a function between.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec

from dcompute import events as e
from dcompute_sim import trace as t
from dcompute_sim.interfaces.participant import MASTER
from dcompute_sim.trace import Event

_quick_json = msgspec.json.Encoder(order="sorted").encode
_any_json = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode


def value_digest(value: object) -> str:
    """Return a short digest of a JSON value, the same on both ends of the wire."""
    try:
        text = _quick_json(value)
    except (OverflowError, ValueError, TypeError):  # an integer of more than 64 bits, half a surrogate pair
        text = _any_json(value).encode()
    return _once(f"{zlib.crc32(text):08x}")


@lru_cache(maxsize=256)
def _once(text: str) -> str:
    """Return one string for equal ones: both ends of a wire tell of a task and a value, and a trace is kept
    for long.

    Not interned: what takes a place in CPython's table stays there, and the table grows by a megabyte.
    """
    return text


class _Table(dict[type, Callable[..., Event]]):
    """What becomes of each type of event. Asked as it is, for that is done hundreds of times a run."""

    def __init__(self, whose: str, entries: dict[type[Any], Callable[..., Event]]) -> None:
        super().__init__(entries)
        self._whose = whose

    def __missing__(self, kind: type) -> Callable[..., Event]:
        raise TypeError(f"the trace has no event for {kind.__name__} of {self._whose}")


def _dropped(now_us: int, node: str, event: e.ResultDropped) -> Event:
    try:
        task = json.loads(event.payload).get("task_id", "")
    except ValueError:
        task = ""
    return t.ResultDropped(t_us=now_us, node=node, task=str(task))


_OF_NODE: dict[type[e.NodeEvent], Callable[[int, str, Any], Event]] = {
    e.NodeConnecting: lambda us, node, it: t.NodeConnecting(t_us=us, node=node, inc=it.inc),
    e.NodeSubscribing: lambda us, node, it: t.NodeSubscribing(t_us=us, node=node, inc=it.inc),
    e.NodeConnected: lambda us, node, it: t.NodeConnected(t_us=us, node=node, inc=it.inc),
    e.NodeDisconnected: lambda us, node, it: t.NodeDisconnected(
        t_us=us, node=node, inc=it.inc, reason=it.reason
    ),
    e.NodeConnectFailed: lambda us, node, it: t.NodeConnectFailed(
        t_us=us, node=node, inc=it.inc, reason=it.reason
    ),
    e.StatusPublished: lambda us, node, it: t.StatusPublished(
        t_us=us, node=node, status=it.status, inc=it.inc
    ),
    e.StatusRepaired: lambda us, node, it: t.StatusRepaired(t_us=us, node=node, inc=it.inc),
    e.TaskReceived: lambda us, node, it: t.TaskReceived(
        t_us=us, node=node, task=_once(it.task), priority=it.priority, attempt=it.attempt
    ),
    e.TaskTaken: lambda us, node, it: t.TaskTaken(
        t_us=us, node=node, task=_once(it.task), priority=it.priority, attempt=it.attempt
    ),
    e.TaskDropped: lambda us, node, it: t.TaskDropped(
        t_us=us, node=node, task=_once(it.task), reason=it.reason
    ),
    e.TaskWithdrawn: lambda us, node, it: t.TaskWithdrawn(t_us=us, node=node, task=_once(it.task)),
    e.ResultHeld: lambda us, node, it: t.ResultHeld(
        t_us=us, node=node, task=_once(it.task), digest=value_digest(it.value)
    ),
    e.ResultDropped: _dropped,
    e.ResultSetAside: lambda us, node, it: t.ResultSetAside(
        t_us=us, node=node, task=_once(it.task), reason=it.reason
    ),
    e.MessageRejected: lambda us, node, it: t.MessageRejected(
        t_us=us, who=node, topic=it.topic, reason=it.reason
    ),
}

_OF_MASTER: dict[type[e.MasterEvent], Callable[[int, Any], Event]] = {
    e.MasterConnected: lambda us, it: t.MasterConnected(t_us=us),
    e.MasterDisconnected: lambda us, it: t.MasterDisconnected(t_us=us, reason=it.reason),
    e.TaskSent: lambda us, it: t.TaskSent(
        t_us=us, node=it.node, task=_once(it.task), priority=it.priority, attempt=it.attempt, size=it.size
    ),
    e.NodeStatusSeen: lambda us, it: t.NodeStatusSeen(t_us=us, node=it.node, status=it.status, inc=it.inc),
    e.DeathReported: lambda us, it: t.DeathReported(t_us=us, node=it.node, inc=it.inc, cause=it.cause),
    e.StaleDeathIgnored: lambda us, it: t.StaleDeathIgnored(t_us=us, node=it.node, inc=it.inc),
    e.ResultReceived: lambda us, it: t.ResultReceived(
        t_us=us, node=it.node, task=_once(it.task), digest=value_digest(it.value)
    ),
    e.ResultDuplicate: lambda us, it: t.ResultDuplicate(t_us=us, node=it.node, task=_once(it.task)),
    e.ResultRefused: lambda us, it: t.ResultRefused(
        t_us=us, node=it.node, task=_once(it.task), reason=it.reason
    ),
    e.UpdateMoved: lambda us, it: t.UpdateState(
        t_us=us, node=it.node, version=it.version, state=it.state, reason=it.reason
    ),
    e.TaskSetAside: lambda us, it: t.TaskSetAside(
        t_us=us, node=it.node, task=_once(it.task), reason=it.reason
    ),
    e.BrokerDropped: lambda us, it: t.BrokerDropped(t_us=us, count=it.count),
    e.MessageRejected: lambda us, it: t.MessageRejected(
        t_us=us, who=MASTER.name, topic=it.topic, reason=it.reason, by_master=True
    ),
}

_OF_EXECUTOR: dict[type[e.ExecutorEvent], Callable[[int, str, Any], Event]] = {
    e.MasterConnected: lambda us, asker, it: t.ExecutorConnected(t_us=us, asker=asker),
    e.MasterDisconnected: lambda us, asker, it: t.ExecutorDisconnected(
        t_us=us, asker=asker, reason=it.reason
    ),
    e.TaskSent: lambda us, asker, it: t.TaskSent(
        t_us=us,
        node=it.node,
        task=_once(it.task),
        priority=it.priority,
        attempt=it.attempt,
        size=it.size,
        asker=asker,
    ),
    e.ResultReceived: lambda us, asker, it: t.ResultReceived(
        t_us=us, node=it.node, task=_once(it.task), digest=value_digest(it.value), asker=asker
    ),
    e.ResultDuplicate: lambda us, asker, it: t.ResultDuplicate(
        t_us=us, node=it.node, task=_once(it.task), asker=asker
    ),
    e.AttemptFailed: lambda us, asker, it: t.AttemptFailed(
        t_us=us, node=it.node, task=_once(it.task), asker=asker
    ),
    e.MessageRejected: lambda us, asker, it: t.MessageRejected(
        t_us=us, who=f"the executor of {asker}", topic=it.topic, reason=it.reason
    ),
}

of_node = _Table("a node", {**_OF_NODE})
"""What a node's transport or core tells, by its type; called with the time, the node and what is told."""
of_master = _Table("a master", {**_OF_MASTER})
"""Likewise of the master's transport; called with the time and what is told."""
of_executor = _Table("an executor", {**_OF_EXECUTOR})
"""Likewise of an executor; called with the time, the asker and what is told."""
