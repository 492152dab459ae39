"""Which bytes are a whole, well-formed MQTT 3.1.1 packet that a client may send; no I/O.

amqtt's own decoder reads past a packet's end, turns invalid UTF-8 into the text `b'...'`, accepts any flags
and goes on reading after garbage. Here a packet is cut out and checked first; amqtt decodes only what
passed.
"""

from __future__ import annotations

from amqtt.mqtt.packet import (
    CONNECT,
    DISCONNECT,
    PINGREQ,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBSCRIBE,
    UNSUBSCRIBE,
)

from dcompute_sim.brokers.embedded import subscriptions
from dcompute_sim.brokers.model.packets import MAX_SEPARATORS
from dcompute_sim.net.mqtt_frames import frame_at

MAX_CONNECT_BYTES = 5 + 10 + 5 * (2 + 65_535)
"""The largest CONNECT: a fixed header, a variable one, five fields. Nobody may send more before it has logged
in."""
MAX_PACKET_BYTES = 5 + 268_435_455

_LEVEL_5 = 5
_LEVEL_3_1_1 = 4
# [MQTT-2.2.2-1]: for every packet but PUBLISH the flags are fixed. What is not here, only a server may send.
_FLAGS = {
    CONNECT: 0,
    PUBACK: 0,
    PUBREC: 0,
    PUBREL: 2,
    PUBCOMP: 0,
    SUBSCRIBE: 2,
    UNSUBSCRIBE: 2,
    PINGREQ: 0,
    DISCONNECT: 0,
}
_PUBLISH_QOS = 0x06
_CONNECT_WILL, _CONNECT_WILL_QOS, _CONNECT_WILL_RETAIN = 0x04, 0x18, 0x20
_CONNECT_PASSWORD, _CONNECT_USERNAME = 0x40, 0x80


class MalformedPacket(Exception):
    """Bytes no MQTT 3.1.1 client may send; the connection has to be closed [MQTT-4.8.0-1]."""


class UnsupportedProtocol(MalformedPacket):
    """A CONNECT of another protocol version: to be told so before it is closed [MQTT-3.1.2-2].

    `answer`: a CONNACK that this version understands; MQTT 5's has a reason code of its own and properties.
    """

    def __init__(self, name: str, level: int) -> None:
        super().__init__(f"CONNECT for {name!r} level {level}: this broker speaks MQTT 3.1.1 only")
        self.answer = b"\x20\x03\x00\x84\x00" if level >= _LEVEL_5 else b"\x20\x02\x00\x01"


def packet_size(buffer: bytes | bytearray, limit_bytes: int = MAX_PACKET_BYTES) -> int | None:
    """Return the size of the packet at the head of `buffer`, or None while that cannot be known yet;
    MalformedPacket when it is above the limit."""
    if buffer:
        _check_header(buffer[0])  # at once: what is no MQTT may never send the rest of its "packet"
    try:
        frame = frame_at(buffer)
    except ValueError as error:
        raise MalformedPacket(str(error)) from None
    if frame is None:
        return None
    if frame[1] > limit_bytes:
        raise MalformedPacket(f"a packet of {frame[1]} bytes, and {limit_bytes} are allowed here")
    return frame[1]


def check(packet: bytes) -> int:
    """Return the type of a whole packet; MalformedPacket unless amqtt may be trusted to decode it."""
    _check_header(packet[0])
    kind = packet[0] >> 4
    body = _Body(packet)
    if kind == PUBLISH:
        _check_publish(packet[0], body)
    elif kind == CONNECT:
        _check_connect(body)
    elif kind in (SUBSCRIBE, UNSUBSCRIBE):
        _check_subscriptions(body, with_qos=kind == SUBSCRIBE)
    else:
        if kind not in (PINGREQ, DISCONNECT):
            body.packet_id()
        body.end()
    return kind


def password(packet: bytes) -> bytes | None:
    """Return the password of a CONNECT that passed `check`, as the bytes it is [MQTT-3.1.3.5]."""
    return _check_connect(_Body(packet))


def _check_header(byte: int) -> None:
    kind, flags = byte >> 4, byte & 0x0F
    if kind == PUBLISH:
        if flags & _PUBLISH_QOS == _PUBLISH_QOS:
            raise MalformedPacket("PUBLISH with QoS 3 [MQTT-3.3.1-4]")
    elif kind not in _FLAGS:
        raise MalformedPacket(f"packet type {kind} is not a client's to send")
    elif flags != _FLAGS[kind]:
        raise MalformedPacket(f"packet type {kind} with flags {flags:#x} [MQTT-2.2.2-2]")


def _check_publish(header: int, body: _Body) -> None:
    topic = body.topic()
    if not topic or "+" in topic or "#" in topic:
        raise MalformedPacket("PUBLISH to an empty topic or one with wildcards [MQTT-4.7.3-1, MQTT-3.3.2-2]")
    if header & _PUBLISH_QOS:
        body.packet_id()


def _check_subscriptions(body: _Body, *, with_qos: bool) -> None:
    body.packet_id()
    if body.at_end:
        raise MalformedPacket("SUBSCRIBE or UNSUBSCRIBE without a topic filter [MQTT-3.8.3-3, MQTT-3.10.3-2]")
    while not body.at_end:
        if not subscriptions.is_valid(body.topic()):
            raise MalformedPacket("an empty topic filter or one with misplaced wildcards [MQTT-4.7]")
        if with_qos and body.byte() > 2:
            raise MalformedPacket("SUBSCRIBE with QoS 3 or reserved bits [MQTT-3-8.3-4]")


def _check_connect(body: _Body) -> bytes | None:
    name, level = body.text(), body.byte()
    if name != "MQTT" or level != _LEVEL_3_1_1:
        raise UnsupportedProtocol(name, level)
    flags = body.byte()
    will, will_qos = flags & _CONNECT_WILL, (flags & _CONNECT_WILL_QOS) >> 3
    if flags & 1:
        raise MalformedPacket("CONNECT with its reserved flag set [MQTT-3.1.2-3]")
    if will_qos == 3 or (not will and flags & (_CONNECT_WILL_QOS | _CONNECT_WILL_RETAIN)):
        raise MalformedPacket("CONNECT with contradicting will flags [MQTT-3.1.2-11, 13, 14, 15]")
    if flags & _CONNECT_PASSWORD and not flags & _CONNECT_USERNAME:
        raise MalformedPacket("CONNECT with a password but no user name [MQTT-3.1.2-22]")
    body.take(2)  # keepalive: any value
    body.text()  # client id: may be empty
    if will:
        topic = body.topic()
        if not topic or "+" in topic or "#" in topic:
            raise MalformedPacket("CONNECT with a will whose topic is empty or has wildcards [MQTT-3.1.3-10]")
        body.binary()
    if flags & _CONNECT_USERNAME:
        body.text()
    password = body.binary() if flags & _CONNECT_PASSWORD else None
    body.end()
    return password


class _Body:
    """A packet behind its fixed header, taken field by field."""

    def __init__(self, packet: bytes) -> None:
        frame = frame_at(packet)
        assert frame is not None, "`packet_size` has seen it whole"
        self._packet = packet
        self._at = frame[0]

    @property
    def at_end(self) -> bool:
        return self._at == len(self._packet)

    def take(self, count: int) -> bytes:
        start, self._at = self._at, self._at + count
        if self._at > len(self._packet):
            raise MalformedPacket("a packet that ends within a field")
        return self._packet[start : self._at]

    def byte(self) -> int:
        return self.take(1)[0]

    def binary(self) -> bytes:
        return self.take(int.from_bytes(self.take(2), "big"))

    def text(self) -> str:
        try:
            text = self.binary().decode("utf-8")  # refuses surrogates as well [MQTT-1.5.3-1]
        except UnicodeDecodeError:
            raise MalformedPacket("text that is not UTF-8 [MQTT-1.5.3-1]") from None
        if "\0" in text:
            raise MalformedPacket("text with a null character [MQTT-1.5.3-2]")
        return text

    def topic(self) -> str:
        """Return a topic or filter: text of not so many levels that a tree of them becomes too deep."""
        text = self.text()
        if text.count("/") > MAX_SEPARATORS:
            raise MalformedPacket(f"a topic of more than {MAX_SEPARATORS + 1} levels")
        return text

    def packet_id(self) -> None:
        if self.take(2) == b"\0\0":
            raise MalformedPacket("a packet id of 0 [MQTT-2.3.1-1]")

    def end(self) -> None:
        if not self.at_end:
            raise MalformedPacket("a packet longer than its fields")
