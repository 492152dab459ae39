"""Reads a node's MQTT off its wire: events for firmware that is not built on our node core.

Only what crosses the wire can be known: connections, statuses, tasks that arrived, results that left. When a
program took a task from its queue cannot, so `priority_order` says nothing of such nodes.
"""

from __future__ import annotations

import contextlib
import json
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from typing import Any

from dcompute.node_wire import Rejected, Topics, decode_task, is_init_command
from dcompute.protocol import ResultMessage, StatusMessage, decode
from dcompute_sim.brokers.model import packets
from dcompute_sim.net.mqtt_frames import frame_at
from dcompute_sim.net.observer import Direction

Observe = Callable[[str, Mapping[str, Any]], None]
_QOS_BITS = 0x06
_ROUND_TRIPS_KEPT = 10_000


class MqttTap:
    """The connections of one node.

    Args:
        observe: is told (event name, fields), in the words of the node core.
    """

    def __init__(self, node_id: str, topics: Topics, observe: Observe) -> None:
        self._node_id = node_id
        self._topics = topics
        self._observe = observe
        self._conversations: dict[Hashable, _Conversation] = {}
        self._connections = 0

    @property
    def between_packets(self) -> bool:
        """Whether the node has been sent whole packets only, on the connection it has opened last."""
        newest = next(reversed(self._conversations.values()), None)
        return newest is not None and newest.whole("to_node")

    def crossed(self, conn: Hashable, direction: Direction, data: bytes) -> None:
        """Bytes of connection `conn` have crossed."""
        talk = self._conversations.get(conn)
        if talk is None:
            talk = self._conversations[conn] = _Conversation()
        for first, body in talk.framed(direction, data):
            if direction == "to_broker":
                self._from_node(talk, first, body)
            else:
                self._to_node(talk, first, body)

    def closed(self, conn: Hashable) -> None:
        """The connection is gone."""
        talk = self._conversations.pop(conn, None)
        if talk is not None and talk.up:
            self._observe("node_disconnected", {"inc": talk.inc, "reason": "the connection ended"})

    def _from_node(self, talk: _Conversation, first: int, body: bytes) -> None:
        kind = first >> 4
        if kind == packets.CONNECT:
            self._connections += 1
            talk.inc = _inc_of(body) or f"wire.{self._connections}"
            self._observe("node_connecting", {"inc": talk.inc})
        elif kind == packets.PUBLISH:
            topic, payload = _published(first, body)
            try:
                message = decode(self._topics, topic, payload)
            except Rejected:
                return
            if message.node_id != self._node_id:
                return
            if isinstance(message, StatusMessage):
                self._observe("status_published", {"status": message.status, "inc": message.inc})
            elif isinstance(message, ResultMessage):
                self._observe("result_held", {"task": message.task_id or "", "value": message.result})

    def _to_node(self, talk: _Conversation, first: int, body: bytes) -> None:
        kind = first >> 4
        if kind == packets.SUBACK and not talk.up:
            talk.up = True
            self._observe("node_connected", {"inc": talk.inc})
        elif kind == packets.PUBLISH:
            topic, payload = _published(first, body)
            if topic != self._topics.task_of(self._node_id):
                return
            try:
                task = decode_task(payload)
            except Rejected as error:
                self._observe("message_rejected", {"topic": topic, "reason": str(error)})
                return
            if not is_init_command(task):
                attempt = task.get("attempt", 1)
                self._observe(
                    "task_received",
                    {
                        "task": str(task.get("id", "")),
                        "priority": task["priority"],
                        "attempt": attempt if isinstance(attempt, int) else 1,
                    },
                )


class TimedTap(MqttTap):
    """Also times one MQTT round trip a message: from a PUBLISH crossing to the node until its PUBACK crosses.

    Args:
        now_s: the clock.
    """

    def __init__(self, node_id: str, topics: Topics, observe: Observe, now_s: Callable[[], float]) -> None:
        super().__init__(node_id, topics, observe)
        self.round_trips_s: deque[float] = deque(maxlen=_ROUND_TRIPS_KEPT)
        self._now_s = now_s
        self._sent_s: dict[tuple[_Conversation, bytes], float] = {}

    def _to_node(self, talk: _Conversation, first: int, body: bytes) -> None:
        if first >> 4 == packets.PUBLISH and first & _QOS_BITS:
            at = 2 + int.from_bytes(body[:2], "big")
            self._sent_s[talk, body[at : at + 2]] = self._now_s()
        super()._to_node(talk, first, body)

    def _from_node(self, talk: _Conversation, first: int, body: bytes) -> None:
        if first >> 4 == packets.PUBACK:
            sent_s = self._sent_s.pop((talk, body[:2]), None)
            if sent_s is not None:
                self.round_trips_s.append(self._now_s() - sent_s)
        elif first >> 4 == packets.CONNECT:
            self._sent_s.clear()
        super()._from_node(talk, first, body)


class _Conversation:
    """One connection: bytes of whole packets not complete yet, each way."""

    def __init__(self) -> None:
        self.inc = ""
        self.up = False
        self._begun: dict[Direction, bytes] = {"to_broker": b"", "to_node": b""}

    def whole(self, direction: Direction) -> bool:
        """Whether no packet is half sent in this direction."""
        return not self._begun[direction]

    def framed(self, direction: Direction, data: bytes) -> list[tuple[int, bytes]]:
        """The packets that `data` completes, as (first byte, body)."""
        data = self._begun[direction] + data
        found = []
        at = 0
        with contextlib.suppress(ValueError):  # no MQTT: nothing more can be said of this connection
            while (frame := frame_at(data, at)) is not None and frame[1] <= len(data):
                start, stop = frame
                found.append((data[at], data[start:stop]))
                at = stop
        self._begun[direction] = data[at:]
        return found


def _published(first: int, body: bytes) -> tuple[str, bytes]:
    size = int.from_bytes(body[:2], "big")
    start = 2 + size + (2 if first & _QOS_BITS else 0)
    return body[2 : 2 + size].decode(errors="replace"), body[start:]


def _inc_of(connect: bytes) -> str:
    """The incarnation in the last will, as our own nodes write it; "" where there is none."""
    try:
        will = packets.parse_connect(connect).will
        found = json.loads(will.payload).get("inc", "") if will is not None else ""
    except (packets.ProtocolError, packets.Refused, ValueError, AttributeError):
        return ""
    return found if isinstance(found, str) else ""
