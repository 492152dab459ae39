"""Faults of nodes, masters and their surroundings that were met in the field, for the museum in scenarios/.

Each is a mixin, or several, over the production classes; production code knows nothing of them. A museum
scenario holds on our own node and must go red on its specimen. Some are no faults but circumstances that a
good node or master has to bear; scenarios name those as a group's `variant`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from dcompute.drivers import Address, ChannelUser, Driver, Timer
from dcompute.effects import Effect
from dcompute.mqtt_link import LinkOwner, MqttLink, Outgoing
from dcompute.node_core import NodeCore, TaskQueue
from dcompute.node_transport import ComputeNodeTransport
from dcompute.node_wire import HIGHEST_PRIORITY, LOWEST_PRIORITY
from dcompute.paho_session import SessionSettings
from dcompute.protocol import Message, ResultMessage
from dcompute.registry import DEFAULT_KEEPALIVE_S, GONE, Registry

EPOCH_OF_ESP32_S = 946_684_800.0  # 2000-01-01
_PUBACK = 4
_SETUP_S = 0.1
_LOOK_S = 0.1
_LARGE_BYTES = 1000
_HALF_S = 20.0

# --- how a node connects ---------------------------------------------------------------------------------


class _RandomClientId(MqttLink):
    """A new client id at every boot, no incarnations, no look at the own status: an old will wins."""

    def __init__(
        self, driver: Driver, address: Address, settings: SessionSettings, owner: LinkOwner, **limits: Any
    ) -> None:
        client_id = f"esp-{driver.random.getrandbits(32):08x}"
        super().__init__(driver, address, replace(settings, client_id=client_id), owner, **limits)


class _BareStatus(NodeCore):
    """Statuses of the first protocol: a node id and a status, nothing else."""

    def _status_payload(self, status: str) -> bytes:
        return json.dumps({"node_id": self.node_id, "status": status}).encode()

    def repair(self) -> list[tuple[str, bytes, bool]]:
        return []


class _ConnectedFirst(MqttLink):
    """Says `connected` and subscribes a little later: what is sent in between is lost."""

    def session_accepted(self) -> None:
        self.session_subscribed()
        session = self._session
        self._driver.call_later(_SETUP_S, lambda: self._subscribe_late(session))

    def _subscribe_late(self, session: object) -> None:
        if self._session is not None and self._session is session:
            self._session.subscribe(self._owner.link_topics())


class _SubscribesOnce(MqttLink):
    """Subscribes at its first connection only, and trusts the broker to remember."""

    def session_accepted(self) -> None:
        if self.connections:
            self.session_subscribed()
        else:
            super().session_accepted()


class _NoJitter(MqttLink):
    """Connects again after exactly two seconds, as do all its sisters."""

    def _backoff_s(self) -> float:
        return 2.0


class _NoBackoff(MqttLink):
    """Connects again at once, however often it was thrown out."""

    def _backoff_s(self) -> float:
        return 0.02


# --- how a node reads ------------------------------------------------------------------------------------


class _ReaderEnds(MqttLink):
    """The reader ends at the first connection loss, and nobody starts it again."""

    _deaf = False

    def _lost(self, reason: str) -> None:
        self._deaf = True
        super()._lost(reason)

    def session_message(self, topic: str, payload: bytes, retained: bool) -> None:
        if not self._deaf:
            super().session_message(topic, payload, retained)


_Deliver = Callable[[bytes], None]


class _FilteringDriver:
    """A driver whose channels' bytes go to `on_data(data, deliver)` instead of to their user."""

    def __init__(self, inner: Driver, on_data: Callable[[bytes, _Deliver], None]) -> None:
        self._inner = inner
        self._on_data = on_data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def dial(self, address: Address, user: ChannelUser) -> Timer:
        return self._inner.dial(address, _FilteredUser(user, self._on_data))


class _FilteredUser:
    def __init__(self, inner: ChannelUser, on_data: Callable[[bytes, _Deliver], None]) -> None:
        self._deliver = inner.channel_data
        self._on_data = on_data
        self.channel_open = inner.channel_open
        self.channel_lost = inner.channel_lost

    def channel_data(self, data: bytes) -> None:
        self._on_data(data, self._deliver)


class _HalfPackets(MqttLink):
    """Circumstance: of anything large only one half arrives at first; the other takes twenty seconds more."""

    def __init__(self, driver: Driver, *rest: Any, **limits: Any) -> None:
        super().__init__(cast(Driver, _FilteringDriver(driver, self._halve)), *rest, **limits)
        self._late: list[bytes] = []

    def _drop_connection(self) -> None:
        super()._drop_connection()
        self._late.clear()

    def _halve(self, data: bytes, deliver: _Deliver) -> None:
        if self._late:
            self._late.append(data)
        elif len(data) < _LARGE_BYTES:
            deliver(data)
        else:
            self._late.append(data[len(data) // 2 :])
            self._driver.call_later(_HALF_S, lambda: self._deliver_late(deliver))
            deliver(data[: len(data) // 2])

    def _deliver_late(self, deliver: _Deliver) -> None:
        late, self._late = b"".join(self._late), []
        if late:
            deliver(late)


class _TwoReaders(MqttLink):
    """Whoever waits for a PUBACK reads the socket too, and throws away what is none."""

    def __init__(self, driver: Driver, *rest: Any, **limits: Any) -> None:
        super().__init__(cast(Driver, _FilteringDriver(driver, self._read)), *rest, **limits)

    def _read(self, data: bytes, deliver: _Deliver) -> None:
        if not (self._up and self._in_flight) or data[0] >> 4 == _PUBACK:
            deliver(data)


class _MalformedEndsReader(NodeCore):
    """An exception while a task is read ends the reader; the connection stays, and nobody reads it."""

    _deaf = False

    def receive(self, topic: str, payload: bytes) -> list[tuple[str, bytes, bool]]:
        if self._deaf:
            return []
        answers = super().receive(topic, payload)
        self._deaf = self.rejected > 0
        return answers


class _BlockingRead(MqttLink):
    """Half a packet blocks until the other half has come: no ping, no result meanwhile."""

    _partial = b""

    def __init__(self, driver: Driver, *rest: Any, **limits: Any) -> None:
        super().__init__(cast(Driver, _FilteringDriver(driver, self._read)), *rest, **limits)

    def _drop_connection(self) -> None:
        self._partial = b""
        super()._drop_connection()

    def _read(self, data: bytes, deliver: _Deliver) -> None:
        whole, self._partial = _whole_packets(self._partial + data)
        if whole:
            deliver(whole)

    def _pump(self) -> None:
        if self._partial:
            self._driver.call_later(_LOOK_S, self._pump)
        else:
            super()._pump()

    def _check(self) -> None:
        if self._partial:
            self._timer = self._driver.call_later(_LOOK_S, self._check)
        else:
            super()._check()


def _whole_packets(data: bytes) -> tuple[bytes, bytes]:
    """`data` split after its last complete MQTT packet."""
    end = 0
    while (length := _packet_length(data[end : end + 5])) is not None and end + length <= len(data):
        end += length
    return data[:end], data[end:]


def _packet_length(head: bytes) -> int | None:
    """Bytes of the packet that begins so, its header included [MQTT 3.1.1, 2.2.3]; None: not yet known."""
    remaining = 0
    for index, byte in enumerate(head[1:]):
        remaining |= (byte & 0x7F) << (7 * index)
        if not byte & 0x80:
            return 2 + index + remaining
    return None


# --- how a node writes -----------------------------------------------------------------------------------


class _LengthInCharacters(MqttLink):
    """Packets are as long as their text has characters; the bytes beyond become the next packet."""

    def _publish(self, message: Outgoing, *, held: bool) -> None:
        topic, payload, retain = message
        characters = len(payload.decode())
        super()._publish((topic, payload[:characters], retain), held=held)
        if characters < len(payload):
            assert self._session is not None
            self._session.flush()
            self._write(payload[characters:])


class _EndlessWait(MqttLink):
    """A result waits for the PUBACK of what was sent before it, without end."""

    def _pump(self) -> None:
        if self._in_flight:
            self._pump_due = False
        else:
            super()._pump()

    def _check(self) -> None:
        for sent in self._in_flight.values():
            sent.at_s = self._driver.now_s()
        super()._check()


class _Unacknowledged(MqttLink):
    """Circumstance: on a node's first connection no PUBACK ever comes."""

    def session_acknowledged(self, mid: int) -> None:
        if self.connections > 1:
            super().session_acknowledged(mid)


class _UnretainedStatus(NodeCore):
    """Only the last will is retained: a `dead` outlives the recovery."""

    def status_message(self) -> tuple[str, bytes, bool]:
        topic, payload, _ = super().status_message()
        return (topic, payload, False)


class _RetainedResults(NodeCore):
    """Circumstance: results are retained, as older nodes send them: a new subscriber gets an old one."""

    def result_message(self, result: Any, task_id: Any, timestamp: float) -> tuple[str, bytes, bool]:
        topic, payload, _ = super().result_message(result, task_id, timestamp)
        return (topic, payload, True)


class _ClockUnset(NodeCore):
    """Circumstance: the node's clock was never set: it counts from its boot in the year 2000."""

    _boot_s: float | None = None

    def result_message(self, result: Any, task_id: Any, timestamp: float) -> tuple[str, bytes, bool]:
        if self._boot_s is None:
            self._boot_s = timestamp
        uptime_s = timestamp - self._boot_s
        return super().result_message(result, task_id, EPOCH_OF_ESP32_S + uptime_s)


# --- how a node works ------------------------------------------------------------------------------------


class _PoliteCrash(ComputeNodeTransport):
    """A failed task ends the program, which cleans up with a DISCONNECT: the broker drops the will."""

    def send_result(self, result: Any, task_id: str | int | None = None) -> None:
        if isinstance(result, dict) and "error" in result:
            self._link.close([], 1.0, lambda: None)
        else:
            super().send_result(result, task_id)


class _InvertedQueue(TaskQueue):
    """The smallest number first, as a heap has it: urgent tasks starve behind all others."""

    def lane_of(self, task: dict[str, Any]) -> int:
        return HIGHEST_PRIORITY + LOWEST_PRIORITY - super().lane_of(task)


class _UnboundedQueue(TaskQueue):
    """Takes in every task, until the memory is full."""

    def put(self, task: dict[str, Any], payload: bytes) -> bool:
        self.limit = self.length + 1
        return super().put(task, payload)


# --- masters ---------------------------------------------------------------------------------------------


class _ImpatientMaster(Registry):
    """Takes a node for dead that has not spoken for three keepalives, though the broker says nothing."""

    def receive(self, message: Message, *, retained: bool, now_s: float, wall_s: float) -> list[Effect]:
        effects = super().receive(message, retained=retained, now_s=now_s, wall_s=wall_s)
        record = self._nodes.get(message.node_id)
        if record is not None and record.status not in GONE:
            keepalive_s = float(record.capabilities.get("keepalive", DEFAULT_KEEPALIVE_S))
            self._unverified[record.node_id] = now_s + 3 * keepalive_s
            self._next_deadline_s = min(self._unverified.values())
        return effects


class _TrustsTimestamps(Registry):
    """Drops results that are more than an hour old by the node's own clock."""

    _now_s = 0.0

    def receive(self, message: Message, *, retained: bool, now_s: float, wall_s: float) -> list[Effect]:
        self._now_s = wall_s
        return super().receive(message, retained=retained, now_s=now_s, wall_s=wall_s)

    def _why_ignored(self, message: ResultMessage, retained: bool) -> str:
        if message.timestamp is not None and self._now_s - message.timestamp > 3600:
            return "too old"
        return super()._why_ignored(message, retained)


SPECIMENS: dict[str, tuple[type[Any], ...]] = {
    "random-client-id": (_RandomClientId, _BareStatus),
    "connected-first": (_ConnectedFirst,),
    "subscribes-once": (_SubscribesOnce,),
    "no-jitter": (_NoJitter,),
    "no-backoff": (_NoBackoff,),
    "reader-ends": (_ReaderEnds,),
    "half-packets": (_HalfPackets,),
    "two-readers": (_TwoReaders,),
    "malformed-ends-reader": (_MalformedEndsReader,),
    "blocking-read": (_BlockingRead,),
    "length-in-characters": (_LengthInCharacters,),
    "endless-wait": (_EndlessWait,),
    "unacknowledged": (_Unacknowledged,),
    "unretained-status": (_UnretainedStatus,),
    "retained-results": (_RetainedResults,),
    "clock-unset": (_ClockUnset,),
    "polite-crash": (_PoliteCrash,),
    "inverted-queue": (_InvertedQueue,),
    "unbounded-queue": (_UnboundedQueue,),
    "impatient-master": (_ImpatientMaster,),
    "trusts-timestamps": (_TrustsTimestamps,),
}
