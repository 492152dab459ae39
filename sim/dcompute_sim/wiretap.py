"""Reads a node's MQTT off its wire: events for firmware that is not built on our node core.

Rules:

1. Only what crosses the wire can be known: connections, statuses, tasks that arrived, results that left. When
   a program took a task from its queue cannot, so the checks of order are undecided about such nodes.
2. A program without incarnations gets those of its connections, `esp-1.wire.1`, `esp-1.wire.2`: what it says
   on one is said by that one, and a clone's are not its double's. In what the *master* has of it there are
   none, so checks find out (or say that they cannot) about which connection a `dead` is.
3. It is connected when it could be sent work: after its SUBACK; at its CONNACK, when the broker has kept its
   session, for such a program does not subscribe again; and when it publishes, for one that takes no work.
   What it publishes before its CONNACK, as it may, is said when that comes; and never where it does not.
4. Its client id and keepalive are its own to choose. Checks judge by the keepalive that it told the broker,
   and name a client id that is not its node's.
5. What is no word of the protocol is told too, for a program that says its status where nobody looks for it
   does not know: a last will by which no death can be told, or not to all, and topics it publishes to, the
   first few.
"""

from __future__ import annotations

import contextlib
import json
from collections import deque
from collections.abc import Callable, Hashable, Mapping

from dcompute.node_core import DEAD, OFFLINE
from dcompute.node_wire import Rejected, Topics, decode_task, is_init_command
from dcompute.protocol import ResultMessage, StatusMessage, decode
from dcompute_sim.brokers.model import packets
from dcompute_sim.net.mqtt_frames import frame_at
from dcompute_sim.net.observer import Direction

Observe = Callable[[str, Mapping[str, object]], None]
_QOS_BITS = 0x06
_ROUND_TRIPS_KEPT = 10_000
_TOPICS_TOLD = 8
_EARLY_KEPT = 1_000  # one that is never accepted may publish for ever


class MqttTap:
    """The connections of one node.

    Args:
        name: of the node, or of the clone that has its id.
        observe: is told (event name, fields), in the words of the node core.
    """

    def __init__(self, name: str, node_id: str, topics: Topics, observe: Observe) -> None:
        self._name = name
        self._node_id = node_id
        self._topics = topics
        self._observe = observe
        self._conversations: dict[Hashable, _Conversation] = {}
        self._connections = 0
        self._unread: set[str] = set()

    @property
    def between_packets(self) -> bool:
        """Whether the node has been sent whole packets only, on the connection it has opened last."""
        newest = next(reversed(self._conversations.values()), None)
        return newest is not None and newest.whole("to_node")

    def crossed(self, conn: Hashable, direction: Direction, data: bytes) -> None:
        """Read bytes of connection `conn` that have crossed."""
        talk = self._conversations.get(conn)
        if talk is None:
            talk = self._conversations[conn] = _Conversation()
        for first, body in talk.framed(direction, data):
            if direction == "to_broker":
                self._from_node(talk, first, body)
            else:
                self._to_node(talk, first, body)

    def closed(self, conn: Hashable) -> None:
        """Forget a connection that is gone."""
        talk = self._conversations.pop(conn, None)
        if talk is not None and talk.up:
            self._observe("node_disconnected", {"inc": talk.inc, "reason": "the connection ended"})

    def _from_node(self, talk: _Conversation, first: int, body: bytes) -> None:
        kind = first >> 4
        if kind == packets.CONNECT:
            self._connections += 1
            connect = _connect_of(body)
            talk.inc = _inc_of(connect) or f"{self._name}.wire.{self._connections}"
            self._observe("node_connecting", {"inc": talk.inc})
            if connect is not None:
                told = {"client_id": connect.client_id, "keepalive_s": connect.keepalive_s}
                will = {"will": self._fault_of(connect.will), "will_misses": _whom_misses(connect.will)}
                self._observe("connect_read", {"inc": talk.inc, **told, **will})
        elif kind == packets.PUBLISH and not talk.accepted:
            talk.early.append((first, body))
        elif kind == packets.PUBLISH:
            self._publishes(talk, first, body)

    def _publishes(self, talk: _Conversation, first: int, body: bytes) -> None:
        self._is_up(talk)
        topic, payload = _published(first, body)
        try:
            message = decode(self._topics, topic, payload)
        except Rejected as error:
            self._publish_unread(topic, str(error))
            return
        if message.node_id != self._node_id:
            self._publish_unread(topic, f"it is said of `{message.node_id}`")
            return
        if isinstance(message, StatusMessage):
            inc = message.inc or talk.inc
            self._observe("status_published", {"status": message.status, "inc": inc})
        elif isinstance(message, ResultMessage):
            self._observe("result_held", {"task": message.task_id or "", "value": message.result})

    def _publish_unread(self, topic: str, reason: str) -> None:
        if topic not in self._unread and len(self._unread) < _TOPICS_TOLD:
            self._unread.add(topic)
            self._observe("publish_unread", {"topic": topic, "reason": reason})

    def _fault_of(self, will: packets.Will | None) -> str:
        """Tell why nobody learns of the node's death by this will; "" if somebody does."""
        if will is None:
            return "no last will"
        topic = will.topic.decode(errors="replace")
        if topic != self._topics.status_of(self._node_id):
            return f"a last will on `{topic}`, not on `{self._topics.status_of(self._node_id)}`"
        try:
            message = decode(self._topics, topic, will.payload)
        except Rejected as error:
            return f"a last will that is no status ({error})"
        if not isinstance(message, StatusMessage):
            return "a last will without a word, which clears its status"
        said = message.status
        return "" if said in (DEAD, OFFLINE) else f"a last will that says `{said}`, not `{DEAD}`"

    def _to_node(self, talk: _Conversation, first: int, body: bytes) -> None:
        kind = first >> 4
        if kind == packets.CONNACK and body[1:] != b"\0":
            self._observe("connect_refused", {"inc": talk.inc, "code": body[-1] if body else 0})
        elif kind == packets.CONNACK:
            self._accepted(talk, has_session=bool(body[0]))
        elif kind == packets.SUBACK:
            self._is_up(talk)
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
                        "attempt": attempt if type(attempt) is int else 1,
                    },
                )

    def _accepted(self, talk: _Conversation, *, has_session: bool) -> None:
        talk.accepted = True
        if has_session:
            self._is_up(talk)
        else:
            self._observe("node_subscribing", {"inc": talk.inc})
        while talk.early:
            self._publishes(talk, *talk.early.popleft())

    def _is_up(self, talk: _Conversation) -> None:
        if not talk.up:
            talk.up = True
            self._observe("node_connected", {"inc": talk.inc})


class TimedTap(MqttTap):
    """Also times one MQTT round trip a message: from a PUBLISH crossing to the node until its PUBACK crosses.

    Args:
        now_s: the clock.
    """

    def __init__(
        self, name: str, node_id: str, topics: Topics, observe: Observe, now_s: Callable[[], float]
    ) -> None:
        super().__init__(name, node_id, topics, observe)
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
    """One connection: bytes of whole packets not complete yet, each way.

    Attributes:
        accepted: whether the broker has taken its CONNECT.
        early: what was published before that: first byte and body of each.
    """

    def __init__(self) -> None:
        self.inc = ""
        self.up = False
        self.accepted = False
        self.early: deque[tuple[int, bytes]] = deque(maxlen=_EARLY_KEPT)
        self._begun: dict[Direction, bytes] = {"to_broker": b"", "to_node": b""}

    def whole(self, direction: Direction) -> bool:
        """Say whether no packet is half sent in this direction."""
        return not self._begun[direction]

    def framed(self, direction: Direction, data: bytes) -> list[tuple[int, bytes]]:
        """Return the packets that `data` completes, as (first byte, body)."""
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


def _connect_of(body: bytes) -> packets.Connect | None:
    """Return what a CONNECT says; None where it is none that a broker takes."""
    try:
        return packets.parse_connect(body)
    except (packets.ProtocolError, packets.Refused):
        return None


def _whom_misses(will: packets.Will | None) -> str:
    """Tell who may not learn of the node's death by this will, although it is one; "" if all do."""
    if will is None:
        return ""
    misses = []
    if not will.retain:
        misses.append("is not retained: who comes later does not learn of its death")
    if will.qos == 0:
        misses.append("has QoS 0: where it gets lost, nobody learns of its death")
    return f"a last will that {', and '.join(misses)}" if misses else ""


def _inc_of(connect: packets.Connect | None) -> str:
    """Return the incarnation in the last will, as our own nodes write it; "" where there is none."""
    if connect is None or connect.will is None:
        return ""
    try:
        found = json.loads(connect.will.payload).get("inc", "")
    except (ValueError, AttributeError):
        return ""
    return found if isinstance(found, str) else ""
