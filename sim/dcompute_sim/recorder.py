"""Writes the trace of a run: stamps events, translates what production code and wires tell, hands out
receipts.

A fault's receipt is an effect seen on the wire of its node (or of the broker) at or after its injection;
which effects count for which kind of fault is the table below. A fault without a receipt never bit.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from dcompute_sim import trace as t
from dcompute_sim.net.observer import Direction, How, Refusal, Side
from dcompute_sim.trace import Event, Trace

# What a fault must be seen to do, by the words of `FaultEffect.effect`. Every word is one of the wire's own.
_SILENT = frozenset({"held", "unanswered", "lost", "timeout"})
EFFECTS: dict[str, frozenset[str]] = {
    "crash": frozenset({"fin", "rst"}),
    "power_cut": _SILENT,
    "reboot": _SILENT | {"fin", "rst", "booted"},  # the last: a board says so on its serial line
    "hang": frozenset({"withheld", "closed by broker"}),
    "reset": frozenset({"rst"}),
    "wifi_drop": _SILENT,
    "dead_link": _SILENT,
    "ap_gone": _SILENT,
    "flap": _SILENT | {"rst", "fin"},
    "slow_link": frozenset({"slowed"}),
    "clone": frozenset({"closed by broker"}),
    "stale_will": frozenset({"published"}),
    "inject": frozenset({"published"}),
    "broker_stop": frozenset({"fin", "rst", "refused"}),
    "broker_restart": frozenset({"fin", "rst", "refused"}),
    "master_crash": frozenset({"fin", "rst"}),
}


_sorted_json = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode


def value_digest(value: Any) -> str:
    """A short digest of a JSON value, the same on both ends of the wire."""
    # Interned: both ends of a wire tell of the same value, and a trace is kept for a whole run. (A production
    # master interns nothing that a network sends: CPython 3.12 never frees it.)
    return sys.intern(f"{zlib.crc32(_sorted_json(value).encode()):08x}")


class _Open:
    """A fault whose effect is awaited. `whose`: on the wire of this node, or of the master; "" for any."""

    __slots__ = ("effects", "fault", "seen", "whose")

    def __init__(self, fault: str, kind: str, node: str) -> None:
        self.fault = fault
        self.whose = "master" if kind == "master_crash" else node
        self.effects = EFFECTS[kind]
        self.seen: dict[str, None] = {}


class Recorder:
    """See the module's head. It is also the `WireObserver` of every link.

    Args:
        now_us: microseconds since the run began.
    """

    def __init__(self, trace: Trace, now_us: Callable[[], int]) -> None:
        self.trace = trace
        self.now_us = now_us
        self._on_node: dict[str, list[_Open]] = {}
        self._anywhere: list[_Open] = []
        self._bitten: set[str] = set()

    def close(self) -> None:
        """The trace is complete: whatever happens while things are taken down is not part of the run."""
        self.trace = Trace()

    def add(self, make: type[Event], **fields: Any) -> None:
        """Append an event of this type, stamped now."""
        self.trace.add(make(t_us=self.now_us(), **fields))

    # --- faults and receipts ----------------------------------------------------------------------------

    def fault(self, fault: str, kind: str, node: str = "", for_s: float | None = None) -> None:
        """A fault is done now; its effects are looked for from now on."""
        for_us = None if for_s is None else round(for_s * 1e6)
        self.add(t.FaultInjected, fault=fault, kind=kind, node=node, for_us=for_us)
        awaited = _Open(fault, kind, node)
        if node:
            self._on_node.setdefault(node, []).append(awaited)
        else:
            self._anywhere.append(awaited)

    def fault_ended(self, fault: str, node: str = "") -> None:
        """The fault is undone; what follows is no effect of it."""
        self.add(t.FaultEnded, fault=fault, node=node)
        awaited = self._on_node.get(node, []) if node else self._anywhere
        awaited[:] = [entry for entry in awaited if entry.fault != fault]

    def has_bitten(self, fault: str) -> bool:
        """Whether the fault has had an effect."""
        return fault in self._bitten

    def effect(self, node: str, word: str, detail: str = "", of: str = "") -> None:
        """Something was seen on the wire of `node`: a receipt for each fault it can be the effect of, or only
        for the one called `of`."""
        for awaited in (*self._on_node.get(node, ()), *self._anywhere):
            if awaited.whose not in ("", node) or of not in ("", awaited.fault):
                continue
            if word in awaited.effects and word not in awaited.seen:
                awaited.seen[word] = None
                self._bitten.add(awaited.fault)
                self.add(t.FaultEffect, fault=awaited.fault, node=node, effect=detail or word)

    # --- the wire ---------------------------------------------------------------------------------------

    def opened(self, name: str, conn: int) -> None:
        self.add(t.WireOpened, node=name, conn=conn)

    def closed(self, name: str, conn: int, how: How, by: Side) -> None:
        self.add(t.WireClosed, node=name, conn=conn, how=how, by=by)
        self.effect(name, how)
        if by == "broker":
            self.effect(name, "closed by broker")
            node, _, clone = name.partition("~")
            if clone:  # the broker ends either of the two, whichever came first
                self.effect(node, "closed by broker", of=clone)

    def held(self, name: str, direction: Direction, n_bytes: int) -> None:
        self.effect(
            name, "held", f"held {n_bytes} bytes {direction.replace('_', ' ')}" if n_bytes else "held"
        )

    def stalled(self, name: str, conn: int) -> None:
        self.add(t.WireStalled, node=name, conn=conn)

    def resumed(self, name: str, conn: int) -> None:
        self.add(t.WireResumed, node=name, conn=conn)

    def refused(self, name: str, how: Refusal) -> None:
        word = "refused" if how == "rst" else "unanswered"
        self.effect(name, word, f"connection attempt met {how}")

    # --- production code --------------------------------------------------------------------------------

    def node_observer(self, node: str) -> NodeObserver:
        """What a node's transport is given as `observer`."""
        return NodeObserver(self, node)

    def master_observer(self, name: str, fields: Mapping[str, Any]) -> None:
        """What the master's transport is given as `observer`."""
        translate = _MASTER.get(name)
        if translate is not None:
            self.trace.add(translate(self.now_us(), fields))


def _dropped(now_us: int, node: str, fields: Mapping[str, Any]) -> Event:
    try:
        task = json.loads(fields["payload"]).get("task_id", "")
    except ValueError:
        task = ""
    return t.ResultDropped(t_us=now_us, node=node, task=str(task))


class NodeObserver:
    """Writes down what one node tells."""

    __slots__ = ("_node", "_recorder")

    def __init__(self, recorder: Recorder, node: str) -> None:
        self._recorder = recorder
        self._node = node

    def __call__(self, name: str, fields: Mapping[str, Any]) -> None:
        translate = _NODE.get(name)
        if translate is not None:
            recorder = self._recorder
            recorder.trace.add(translate(recorder.now_us(), self._node, fields))


_NodeTranslator = Callable[[int, str, Mapping[str, Any]], Event]
_MasterTranslator = Callable[[int, Mapping[str, Any]], Event]


def _of_node(make: type[Event]) -> _NodeTranslator:
    def translate(now_us: int, node: str, fields: Mapping[str, Any]) -> Event:
        return make(t_us=now_us, node=node, **fields)  # type: ignore[call-arg]

    return translate


def _of_master(make: type[Event]) -> _MasterTranslator:
    def translate(now_us: int, fields: Mapping[str, Any]) -> Event:
        return make(t_us=now_us, **fields)

    return translate


_NODE: dict[str, _NodeTranslator] = {
    "node_connecting": _of_node(t.NodeConnecting),
    "node_subscribing": _of_node(t.NodeSubscribing),
    "node_connected": _of_node(t.NodeConnected),
    "node_disconnected": _of_node(t.NodeDisconnected),
    "status_published": _of_node(t.StatusPublished),
    "status_repaired": _of_node(t.StatusRepaired),
    "task_received": _of_node(t.TaskReceived),
    "task_taken": _of_node(t.TaskTaken),
    "task_dropped": _of_node(t.TaskDropped),
    "result_dropped": _dropped,
    "result_held": lambda now_us, node, f: t.ResultHeld(
        t_us=now_us, node=node, task=f["task"], digest=value_digest(f["value"])
    ),
    "message_rejected": lambda now_us, node, f: t.MessageRejected(
        t_us=now_us, who=node, topic=f["topic"], reason=f["reason"]
    ),
}

_MASTER: dict[str, _MasterTranslator] = {
    "master_connected": _of_master(t.MasterConnected),
    "master_disconnected": _of_master(t.MasterDisconnected),
    "task_sent": _of_master(t.TaskSent),
    "node_status_seen": _of_master(t.NodeStatusSeen),
    "death_reported": _of_master(t.DeathReported),
    "stale_death_ignored": _of_master(t.StaleDeathIgnored),
    "result_duplicate": _of_master(t.ResultDuplicate),
    "update_state": _of_master(t.UpdateState),
    "result_received": lambda now_us, f: t.ResultReceived(
        t_us=now_us, node=sys.intern(f["node"]), task=f["task"], digest=value_digest(f["value"])
    ),
    "message_rejected": lambda now_us, f: t.MessageRejected(
        t_us=now_us, who="master", topic=f["topic"], reason=f["reason"]
    ),
}
