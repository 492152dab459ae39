"""MQTT 3.1.1 packets as bytes, a client's side of them; independent of the codecs under test. No I/O."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple


class PacketKind(IntEnum):
    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14


# Packets whose flag bits are fixed at 0010 [MQTT-3.6.1-1, MQTT-3.8.1-1, MQTT-3.10.1-1]
_FLAGS_0010 = {PacketKind.PUBREL, PacketKind.SUBSCRIBE, PacketKind.UNSUBSCRIBE}

_LONGEST_LENGTH = 4  # bytes of a remaining length [section 2.2.3]


class Malformed(ValueError):
    """Bytes that are no MQTT 3.1.1."""


class Packet(NamedTuple):
    kind: PacketKind
    flags: int
    body: bytes


class Publish(NamedTuple):
    topic: str
    payload: bytes
    qos: int
    retain: bool
    dup: bool
    packet_id: int


class ClientWill(NamedTuple):
    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False


def encode(kind: PacketKind, body: bytes = b"", flags: int | None = None) -> bytes:
    if flags is None:
        flags = 0b0010 if kind in _FLAGS_0010 else 0
    return bytes([kind << 4 | flags]) + _length(len(body)) + body


def connect(
    client_id: str,
    *,
    clean: bool = True,
    keepalive_s: int = 60,
    will: ClientWill | None = None,
    username: str | None = None,
    password: str | bytes | None = None,
) -> bytes:
    flags = clean << 1
    payload = text(client_id)
    if will is not None:
        flags |= 1 << 2 | will.qos << 3 | will.retain << 5
        payload += text(will.topic) + struct.pack("!H", len(will.payload)) + will.payload
    if username is not None:
        flags |= 1 << 7
        payload += text(username)
    if password is not None:
        flags |= 1 << 6
        secret = password.encode() if isinstance(password, str) else password
        payload += struct.pack("!H", len(secret)) + secret
    return encode(PacketKind.CONNECT, text("MQTT") + struct.pack("!BBH", 4, flags, keepalive_s) + payload)


def publish(
    topic: str, payload: bytes, *, qos: int = 0, retain: bool = False, dup: bool = False, packet_id: int = 0
) -> bytes:
    identity = packet_id.to_bytes(2, "big") if qos else b""
    return encode(PacketKind.PUBLISH, text(topic) + identity + payload, dup << 3 | qos << 1 | retain)


def subscribe(packet_id: int, filters: Sequence[tuple[str, int]]) -> bytes:
    asked = b"".join(text(topic_filter) + bytes([qos]) for topic_filter, qos in filters)
    return encode(PacketKind.SUBSCRIBE, packet_id.to_bytes(2, "big") + asked)


def unsubscribe(packet_id: int, filters: Sequence[str]) -> bytes:
    return encode(PacketKind.UNSUBSCRIBE, packet_id.to_bytes(2, "big") + b"".join(map(text, filters)))


def acknowledgement(kind: PacketKind, packet_id: int) -> bytes:
    """Return a PUBACK, PUBREC, PUBREL or PUBCOMP."""
    return encode(kind, packet_id.to_bytes(2, "big"))


def text(string: str) -> bytes:
    raw = string.encode()
    return len(raw).to_bytes(2, "big") + raw


def take_packets(buffer: bytearray) -> Iterator[Packet]:
    """Yield whole packets from the front of `buffer`, which keeps the rest; Malformed for what cannot be
    one."""
    while (frame := _frame(buffer)) is not None:
        start, end = frame
        try:
            kind = PacketKind(buffer[0] >> 4)
        except ValueError:
            raise Malformed(f"packet type {buffer[0] >> 4} is reserved") from None
        packet = Packet(kind, buffer[0] & 0x0F, bytes(buffer[start:end]))
        del buffer[:end]
        yield packet


def read_publish(packet: Packet) -> Publish:
    qos = packet.flags >> 1 & 3
    topic_end = 2 + int.from_bytes(packet.body[:2], "big")
    start = topic_end + (2 if qos else 0)
    if qos == 3 or len(packet.body) < max(start, 2):
        raise Malformed(f"PUBLISH of {len(packet.body)} bytes with flags {packet.flags:04b}")
    try:
        topic = packet.body[2:topic_end].decode()
    except UnicodeDecodeError:
        raise Malformed("PUBLISH with a topic that is not UTF-8") from None
    return Publish(
        topic=topic,
        payload=packet.body[start:],
        qos=qos,
        retain=bool(packet.flags & 1),
        dup=bool(packet.flags & 8),
        packet_id=int.from_bytes(packet.body[topic_end:start], "big"),
    )


def read_packet_id(packet: Packet) -> int:
    if len(packet.body) < 2:
        raise Malformed(f"{packet.kind.name} without a packet id")
    return int.from_bytes(packet.body[:2], "big")


def _length(count: int) -> bytes:
    encoded = bytearray()
    while count > 0x7F:
        encoded.append(count & 0x7F | 0x80)
        count >>= 7
    encoded.append(count)
    return bytes(encoded)


def _frame(buffer: bytearray) -> tuple[int, int] | None:
    """Return where the first packet's body begins and ends, once the buffer holds all of it."""
    length = 0
    for position, byte in enumerate(buffer[1 : 1 + _LONGEST_LENGTH]):
        length |= (byte & 0x7F) << 7 * position
        if not byte & 0x80:
            start = position + 2
            return (start, start + length) if len(buffer) >= start + length else None
    if len(buffer) > _LONGEST_LENGTH:
        raise Malformed("a remaining length of more than four bytes")
    return None
