"""paho without its input and output: packets go in, bytes come out.

paho was made for a socket and for threads: it reads a packet byte by byte, keeps a queue for a full socket,
and makes a condition variable for every message. None of that has a use here, where bytes come in whole
and `MqttLink` remembers what is not acknowledged; so those steps are replaced, which more than halves what a
message costs. So are the encodings of CONNECT, PUBLISH, PUBACK, SUBSCRIBE and PINGREQ, for paho formats a
log line for each, and the reading of CONNACK and SUBACK, for which it makes MQTT 5 properties. The states of
a connection, keepalive and everything rare stay paho's own.

It leans on private names of paho 2.1 and 2.2; `tests/dcompute/test_paho_client.py` guards them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

_LENGTH_BYTES = 4  # of a remaining length, at most [MQTT-2.2.3]
_PUBLISH = int(paho.PUBLISH)  # a name of this module takes half as long as one of another
_KIND_AND_QOS_2, _QOS_1, _RETAIN = 0xF4, 0x02, 0x01  # of the first byte of a PUBLISH [MQTT-3.3.1]
_LEVEL = 4  # of MQTT 3.1.1 [MQTT-3.1.2-2]
_CLEAN_SESSION, _WILL, _PASSWORD, _USERNAME = 0x02, 0x04, 0x40, 0x80  # flags of a CONNECT [MQTT-3.1.2]
_PINGREQ = b"\xc0\x00"  # [MQTT-3.12.1]
_PINGRESP = b"\xd0\x00"  # [MQTT-3.13.1]
_REFUSED = 0x80
_SUBACK_CODES = {0, 1, 2, _REFUSED}  # [MQTT-3.9.3-2]


class MalformedPacket(ValueError):
    """Received bytes are no MQTT packet."""


class _NoSocket:
    """What paho takes for its socket, and does nothing with."""

    def close(self) -> None:
        pass

    def setblocking(self, _flag: bool) -> None:
        pass

    def fileno(self) -> int:
        return -1


class MessageUser(Protocol):
    """Who is told of messages."""

    def session_message(self, topic: str, payload: bytes, retained: bool) -> None: ...
    def session_acknowledged(self, mid: int) -> None:
        """Take in that the broker has taken over the message of this id."""


class PacketUser(Protocol):
    """Who is told what else came."""

    def packet_connected(self, code: int) -> None:
        """Take in that the broker has answered CONNECT; it accepted the connection if `code` is 0."""

    def packet_subscribed(self, mid: int, granted: bool) -> None:
        """Take in that the broker has answered the SUBSCRIBE of this id; `granted`: all of it."""

    def packet_end(self, reason: str) -> None:
        """Take in that paho ends the connection, or that what came is no MQTT."""


class _NoLock:
    """What paho takes for its locks: all of a client runs on one thread."""

    def acquire(self, blocking: bool = True) -> bool:
        return True

    def release(self) -> None:
        pass

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_error: object) -> None:
        pass


_PLAIN: dict[str, Any] = vars(
    paho.Client(CallbackAPIVersion.VERSION2, clean_session=True, reconnect_on_failure=False)
)
"""What paho makes for each client. reconnect_on_failure would let it connect again by itself after a refused
CONNECT."""
_State = type(_PLAIN["_state"])
_CONNECTING, _CONNECTED = _State.MQTT_CS_CONNECTING, _State.MQTT_CS_CONNECTED
_SUCCESS = MQTTErrorCode.MQTT_ERR_SUCCESS  # a name of an enum takes five times as long as one of a module
_NO_SOCKET: Any = _NoSocket()
_NO_LOCK = _NoLock()
_NO_PACKET: Any = {}
_NO_MESSAGES: OrderedDict[int, Any] = OrderedDict()  # of QoS 2, which nobody here uses: two cost 256 bytes


class PahoClient(paho.Client):
    """Takes packets and gives bytes, as paho does with a socket.

    Only what clients differ in is theirs. Of the rest of what paho makes for each (a deque takes 760 bytes,
    and a fleet has thousands) none of ours changes anything, so it is the class's.

    Args:
        user: is told of the connection.
        hearer: is told of messages and acknowledgements.

    Attributes:
        write: takes the bytes; None before there is a connection, and after it.
    """

    __slots__ = (
        "_client_id",
        "_feeding",
        "_hearer",
        "_keepalive",
        "_last_bytes_received",
        "_last_mid",
        "_last_msg_out",
        "_missing",
        "_more",
        "_password",
        "_ping_t",
        "_sock",
        "_state",
        "_user",
        "_username",
        "_will",
        "_will_payload",
        "_will_properties",
        "_will_qos",
        "_will_retain",
        "_will_topic",
        "outbox",
        "unread",
        "write",
    )

    def __init__(self, client_id: str, user: PacketUser, hearer: MessageUser) -> None:
        # Not paho's, which makes seven locks among other things.
        self._client_id = client_id.encode()
        self._username: bytes | None = None
        self._password: bytes | None = None
        self._will = False
        self._state = _PLAIN["_state"]
        self._sock = None
        self._ping_t = 0.0
        self._last_mid = 0
        self._user = user
        self._hearer = hearer
        self._feeding = False
        self.write: Callable[[bytes], None] | None = None
        self.unread = b""
        self._more: list[bytes] = []  # chunks after `unread`, joined only when a packet is whole
        self._missing = 0  # bytes until then, where known
        self.outbox: list[bytes] = []

    def send_connect(self, keepalive_s: int) -> None:
        """Begin a connection: send CONNECT."""
        self._state = _CONNECTING
        self._keepalive = keepalive_s
        self._last_bytes_received = self._last_msg_out = paho.time_func()
        self._sock = _NO_SOCKET
        flags = _CLEAN_SESSION
        fields: list[bytes | bytearray] = [b"MQTT", self._client_id]  # in this order [MQTT-3.1.3-1]
        if self._will:
            flags |= _WILL | self._will_qos << 3 | self._will_retain << 5
            fields += (self._will_topic, self._will_payload)
        if self._username is not None:
            flags |= _USERNAME
            fields.append(self._username)
            if self._password is not None:
                flags |= _PASSWORD
                fields.append(self._password)
        name, *others = [len(field).to_bytes(2, "big") + field for field in fields]
        body = b"".join((name, bytes((_LEVEL, flags)), keepalive_s.to_bytes(2, "big"), *others))
        self.outbox.append(bytes((paho.CONNECT, *_length(len(body)))) + body)

    def feed(self, data: bytes) -> None:
        """Take in received bytes, of any part of a packet or of many. What is no MQTT ends the connection,
        and never raises."""
        if self._sock is None:
            return
        self._last_bytes_received = paho.time_func()
        if data == _PINGRESP and not self.unread:  # all that an idle client hears
            self._ping_t = 0.0
            return
        self._feeding = True
        try:
            self._read(data)
        except Exception as error:  # paho meets hostile bytes with struct.error, IndexError and others
            self._user.packet_end(f"protocol error: {type(error).__name__}: {error}")
            return
        finally:
            self._feeding = False
        if self.outbox:
            self.flush()

    def _read(self, data: bytes) -> None:
        if self.unread:
            if len(data) < self._missing:
                self._missing -= len(data)
                self._more.append(data)
                return
            data = b"".join((self.unread, *self._more, data))
            self._more.clear()
            self._missing = 0
        start, end = 0, len(data)
        while end - start >= 2 and self._sock is not None:
            length, at = data[start + 1], start + 2
            if length & 0x80:
                if at < end and data[at] < 0x80:  # two bytes, as of nearly all that are longer than one
                    length, at = (data[at] << 7) + length - 0x80, at + 1
                else:
                    length, at = _long_length(data, start + 1)
            stop = at + length
            if stop > end:
                self._missing = stop - end
                break
            header = data[start]
            if header & _KIND_AND_QOS_2 == _PUBLISH:
                topic = at + 2
                end_of_topic = topic + (data[at] << 8 | data[at + 1]) if topic <= stop else topic
                payload = end_of_topic + 2 if header & _QOS_1 else end_of_topic
                if end_of_topic == topic or stop < payload:
                    raise MalformedPacket("a PUBLISH without a topic, or cut short")
                try:
                    name = data[topic:end_of_topic].decode()
                except UnicodeDecodeError:
                    name = repr(data[topic:end_of_topic])  # no topic of ours: its owner counts and logs it
                self._hearer.session_message(name, data[payload:stop], (header & _RETAIN) != 0)
                if header & _QOS_1 and self._sock is not None:
                    self.outbox.append(b"\x40\x02" + data[end_of_topic:payload])  # PUBACK
            else:
                self._take(header, data[at:stop])
            start = stop
        self.unread = data[start:]

    def _take(self, header: int, body: bytes) -> None:
        """Take in one packet, other than a message of QoS 0 or 1."""
        kind = header & 0xF0
        if kind == paho.PUBACK:
            if len(body) != 2:
                raise MalformedPacket(f"a PUBACK of {len(body)} bytes")
            self._hearer.session_acknowledged(body[0] << 8 | body[1])
        elif header == paho.PINGRESP and not body:
            self._ping_t = 0.0
        elif kind == paho.SUBACK:
            codes = set(body[2:])
            if not codes or not codes <= _SUBACK_CODES:
                raise MalformedPacket("a SUBACK without return codes, or with one that means nothing")
            self._user.packet_subscribed(int.from_bytes(body[:2], "big"), _REFUSED not in codes)
        elif kind == paho.CONNACK:
            if len(body) != 2:
                raise MalformedPacket(f"a CONNACK of {len(body)} bytes")
            code = body[1]
            if code == 0:
                self._state = _CONNECTED
            self._user.packet_connected(code)
        else:
            self._leave_to_paho(header, body)

    def send_publish(self, topic: str, payload: bytes, qos: int, retain: bool) -> int:
        """Send a PUBLISH; return its id. At QoS 0 and 1 nothing of the message is kept; at 0 nothing comes
        back."""
        if qos > 1:
            self._may_keep_messages()
            return self.publish(topic, payload, qos, retain).mid
        mid: int = self._mid_generate()
        if self._sock is not None:
            name = topic.encode()
            size = len(name)
            length = _length(2 + size + 2 * qos + len(payload))  # at QoS 1 with an id
            head = bytes((_PUBLISH | qos << 1 | retain, *length, size >> 8, size & 0xFF))
            self.outbox.append(b"".join((head, name, mid.to_bytes(2, "big") if qos else b"", payload)))
        return mid

    def send_subscribe(self, topics: Sequence[tuple[str, int]]) -> int:
        """Send a SUBSCRIBE to these filters, each with its QoS, all in one packet; return its id."""
        mid: int = self._mid_generate()
        body = mid.to_bytes(2, "big")
        for topic_filter, qos in topics:
            name = topic_filter.encode()
            body += len(name).to_bytes(2, "big") + name + bytes((qos,))
        if self._sock is not None:
            self.outbox.append(bytes((paho.SUBSCRIBE | 0x02, *_length(len(body)))) + body)
        return mid

    def flush(self) -> None:
        """Write what is queued; while received bytes are taken in, once at their end for all answers."""
        write = self.write
        if self.outbox and not self._feeding and write is not None:
            self._last_msg_out = paho.time_func()
            outbox, self.outbox = self.outbox, []
            write(outbox[0] if len(outbox) == 1 else b"".join(outbox))

    def leave(self) -> None:
        """Send DISCONNECT, at once: not at the end of received bytes, for the channel is closed next."""
        self.disconnect()
        self._feeding = False
        self.flush()

    def check(self) -> None:
        """Take in that the keepalive has passed since something was sent or came in, or since a ping that is
        unanswered.

        Every idle client pings for ever, so that much is done here; everything else is paho's.
        """
        if self._ping_t == 0.0 and self._state is _CONNECTED:
            self.outbox.append(_PINGREQ)
            self._last_msg_out = self._last_bytes_received = self._ping_t = paho.time_func()  # as paho does
        else:
            self.loop_misc()
        self.flush()

    def stop(self) -> None:
        """Take in that nothing more is taken in or sent."""
        self.write = self._sock = None

    def _may_keep_messages(self) -> None:
        """Take in that what follows may be of QoS 2, whose messages paho keeps."""
        if self._in_messages is _NO_MESSAGES:
            self._in_messages = OrderedDict()
        if self._out_messages is _NO_MESSAGES:
            self._out_messages = OrderedDict()

    def _leave_to_paho(self, header: int, body: bytes) -> None:
        self._may_keep_messages()
        self._in_packet = {
            "command": header,
            "have_remaining": 1,
            "remaining_count": [],
            "remaining_mult": 1,
            "remaining_length": len(body),
            "packet": body,  # type: ignore[typeddict-item]  # paho only reads it
            "to_process": 0,
            "pos": 0,
        }
        error = self._packet_handle()
        self._in_packet = _NO_PACKET
        if error > 0:
            self._loop_rc_handle(error)

    # --- steps of paho that are replaced ------------------------------------------------------------------

    def _packet_queue(
        self, command: int, packet: bytes | bytearray, mid: int, qos: int, info: object = None
    ) -> MQTTErrorCode:
        self.outbox.append(bytes(packet))
        return _SUCCESS

    def _send_pingreq(self) -> MQTTErrorCode:
        self.outbox.append(_PINGREQ)
        self._ping_t = paho.time_func()
        return _SUCCESS

    def _mid_generate(self) -> int:
        self._last_mid: int = self._last_mid % 65535 + 1
        return self._last_mid

    # --- paho's callbacks ---------------------------------------------------------------------------------

    def _on_message(self, _client: object, _user: object, message: paho.MQTTMessage) -> None:
        try:
            name = message._topic.decode()
        except UnicodeDecodeError:
            name = repr(message._topic)
        self._hearer.session_message(name, bytes(message.payload), message.retain)

    def _on_publish(
        self, _client: object, _user: object, mid: int, _reason: object, _properties: object
    ) -> None:
        self._hearer.session_acknowledged(mid)

    def _on_disconnect(
        self, _client: object, _user: object, _flags: object, reason: object, _properties: object
    ) -> None:
        self._user.packet_end(str(reason))


_SHARED = {
    **_PLAIN,
    **{name: _NO_LOCK for name in _PLAIN if name.endswith("_mutex")},
    "_in_packet": _NO_PACKET,
    "_in_messages": _NO_MESSAGES,
    "_out_messages": _NO_MESSAGES,
}
for _name, _value in _SHARED.items():
    if _name not in vars(PahoClient):
        setattr(PahoClient, _name, _value)


def _length(n_bytes: int) -> tuple[int, ...]:
    """Encode a remaining length, seven bits a byte [MQTT-2.2.3]."""
    if n_bytes < 0x80:
        return (n_bytes,)
    if n_bytes < 0x4000:
        return (n_bytes & 0x7F | 0x80, n_bytes >> 7)
    return (n_bytes & 0x7F | 0x80, *_length(n_bytes >> 7))


def _long_length(data: bytes, at: int) -> tuple[int, int]:
    """Decode a remaining length of several bytes that begins at `at`, and where what it counts begins. Of one
    that is cut off so much that the packet is not whole."""
    length = shift = 0
    for byte in data[at : at + _LENGTH_BYTES]:
        at += 1
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            return length, at
        shift += 7
    if shift == 7 * _LENGTH_BYTES:
        raise MalformedPacket("a remaining length of more than four bytes")
    return 1, at
