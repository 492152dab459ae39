"""The model broker against mosquitto and the embedded broker: the same random client scripts, and what every
client saw of each.

What may differ, and why, is listed in docs/broker-model.md and docs/embedded-broker.md; `normalized`, and
`chosen_otherwise` for the embedded broker, are where it is taken out here.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import pytest
from dcompute_sim.brokers.conformance import wire
from dcompute_sim.brokers.conformance.wire import ClientWill, Packet, PacketKind
from dcompute_sim.brokers.embedded.outbox import WAITING_MAX
from dcompute_sim.brokers.embedded.outbox import WINDOW as EMBEDDED_WINDOW
from dcompute_sim.brokers.model import Broker, BrokerConfig, Connection, packets
from dcompute_sim.brokers.model.router import Router
from dcompute_sim.brokers.model.session import Session
from dcompute_sim.brokers.mosquitto import find_mosquitto
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

WINDOW, QUEUE = 3, 5  # small, so that scripts reach them
CLIENTS = 3
SCRIPTS = int(os.environ.get("DCOMPUTE_DIFFERENTIAL_SCRIPTS", "250"))
EMBEDDED_SCRIPTS = SCRIPTS // 5
AS_SENT, JOINED = 0, -1  # sizes of pieces
TIMEOUT_S = 10.0

TOPICS = ("a", "a/b", "a/b/c", "b", "/a", "a/", "$d/a", "//", "a//b", "ü/€")
# Each of TOPICS matches one at most.
DISJOINT_FILTERS = ("a", "+/b", "a/+/c", "b", "/+", "a/", "$d/#", "//", "a//+", "ü/#")
FILTERS = (
    *TOPICS,
    "#",
    "+",
    "a/#",
    "a/+",
    "+/b",
    "+/+",
    "/+",
    "a/+/c",
    "+/#",
    "$d/#",
    "$d/+",
    "a/b/#",
    "+/b/#",
    "+//+",
    "+/+/+",
    "//#",
    "+/€",
)

Event = tuple[object, ...]


# --- one connection to either broker -----------------------------------------------------------------------


class Line(Protocol):
    @property
    def closed(self) -> bool:
        """By the broker."""
        ...

    def send(self, data: bytes) -> None: ...
    def flush(self) -> list[Packet]:
        """All the broker has sent by the time it has done what was sent to it."""
        ...

    def abort(self) -> None: ...


class SocketLine:
    """To a broker whose answer to a PINGREQ comes after all else it had to say."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()
        self.closed = False

    def send(self, data: bytes) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # what it said is still to be read
            self._socket.sendall(data)

    def flush(self) -> list[Packet]:
        packets: list[Packet] = []
        if self.closed:
            return packets
        self.send(wire.encode(PacketKind.PINGREQ))
        while True:
            for packet in wire.take_packets(self._buffer):
                if packet.kind is PacketKind.PINGRESP:
                    return packets
                packets.append(packet)
            try:
                data = self._socket.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                self.closed = True
                self._socket.close()
                return packets
            self._buffer += data

    def abort(self) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()


class ModelLine:
    """To the model, which answers at once."""

    def __init__(self, broker: Broker, now_s: Callable[[], float] = lambda: 0.0) -> None:
        self._broker = broker
        self._now_s = now_s
        self._buffer = bytearray()
        self.closed = False
        self._connection: Connection = broker.opened(self, now_s())

    def write(self, data: bytes) -> None:
        assert not self.closed
        self._buffer += data

    def close(self) -> None:
        self.closed = True

    def send(self, data: bytes) -> None:
        self._broker.received(self._connection, data, self._now_s())

    def flush(self) -> list[Packet]:
        return list(wire.take_packets(self._buffer))

    def abort(self) -> None:
        self._broker.lost(self._connection, self._now_s())


class CutLine:
    """To either, in pieces that have nothing to do with packets: of `size` bytes, or a whole step at once."""

    def __init__(self, line: Line, size: int) -> None:
        self._line = line
        self._size = size
        self._joined = bytearray()

    @property
    def closed(self) -> bool:
        return self._line.closed

    def send(self, data: bytes) -> None:
        if self._size == JOINED:
            self._joined += data
            return
        # zero-in-pieces: to mosquitto a first byte of 0 is none yet.
        size = self._size if data[0] else len(data)
        for start in range(0, len(data), size):
            self._line.send(data[start : start + size])

    def flush(self) -> list[Packet]:
        if self._joined:
            self._line.send(bytes(self._joined))
            self._joined.clear()
        return self._line.flush()

    def abort(self) -> None:
        self._line.abort()


# --- scripts -----------------------------------------------------------------------------------------------


@dataclass
class Client:
    """One client id: its connections, and a client's side of QoS 1 and 2."""

    name: str
    clean: bool = True
    line: Line | None = None
    former: list[Line] = field(default_factory=list)  # taken over by itself, or refused
    holding: bool = False
    owed: list[bytes] = field(default_factory=list)  # acknowledgements withheld
    unreleased: dict[int, bytes] = field(default_factory=dict)  # QoS 2: id -> PUBLISH
    finishing: set[int] = field(default_factory=set)  # those to be released when their PUBREC comes
    repeated: set[int] = field(default_factory=set)  # ids of those sent again on this connection
    next_id: int = 1
    payloads: dict[int, bytes] = field(default_factory=dict)  # the broker's id -> payload
    acknowledged: int = 60_000  # the broker's id that it acknowledged last; at first one that is unknown
    events: list[Event] = field(default_factory=list)

    def new_id(self) -> int:
        packet_id, self.next_id = self.next_id, self.next_id % 65_535 + 1
        return packet_id

    def owe(self, data: bytes) -> bool:
        """Acknowledge, now or later; whether now."""
        if self.holding:
            self.owed.append(data)
            return False
        assert self.line is not None
        self.line.send(data)
        return True

    def take(self, packet: Packet) -> bool:
        """Note what the broker sent and answer it; whether something was sent."""
        body = packet.body
        if packet.kind is PacketKind.PUBLISH:
            got = wire.read_publish(packet)
            self.events.append(("PUBLISH", got.topic, got.payload, got.qos, got.retain, got.dup))
            if got.qos:
                self.payloads[got.packet_id] = got.payload
                self.acknowledged = got.packet_id
                kind = PacketKind.PUBACK if got.qos == 1 else PacketKind.PUBREC
                return self.owe(wire.acknowledgement(kind, got.packet_id))
            return False
        if packet.kind is PacketKind.PUBREL:
            packet_id = wire.read_packet_id(packet)
            self.events.append(("PUBREL", self.payloads.get(packet_id)))
            return self.owe(wire.acknowledgement(PacketKind.PUBCOMP, packet_id))
        self.events.append((packet.kind.name, body))
        if packet.kind is PacketKind.PUBREC and wire.read_packet_id(packet) in self.finishing:
            return self.release(wire.read_packet_id(packet))
        return False

    def release(self, packet_id: int) -> bool:
        """Send PUBREL for a QoS 2 publication of ours."""
        assert self.line is not None
        self.finishing.discard(packet_id)
        self.unreleased.pop(packet_id, None)
        self.line.send(wire.acknowledgement(PacketKind.PUBREL, packet_id))
        return True


class World:
    """One broker, and the clients of a script talking to it."""

    def __init__(self, line: Callable[[], Line], script: Script) -> None:
        self._line: Callable[[], Line] = (
            line if script.pieces == AS_SENT else lambda: CutLine(line(), script.pieces)
        )
        self.clients = [Client(f"client-{number}", next_id=script.first_id) for number in range(CLIENTS)]
        self.control = line()
        self.control.send(wire.connect("control", keepalive_s=0))
        self.control.flush()

    def connect(self, client: Client, clean: bool, will: ClientWill | None) -> None:
        if client.line is not None:
            client.former.append(client.line)
        client.clean = clean
        if clean:
            client.unreleased.clear()
            client.finishing.clear()
        client.owed.clear()
        client.repeated.clear()
        client.line = self._line()
        client.line.send(wire.connect(client.name, clean=clean, will=will, keepalive_s=0))

    def refused(self, client: Client, data: bytes) -> None:
        line = self._line()
        line.send(data)
        client.former.append(line)

    def step(self, op: Op) -> list[list[Event]]:
        """Let a client do something; what each client saw of it."""
        client = self.clients[op.client]
        op.apply(self, client)
        self._settle(client)
        seen = [each.events for each in self.clients]
        for each in self.clients:
            each.events = []
        return seen

    def _settle(self, actor: Client) -> None:
        """Until nobody has anything more to say. First whoever acted, so that all it caused is under way."""
        order = [actor, *(each for each in self.clients if each is not actor)]
        moving = True
        while moving:
            moving = False
            self.control.flush()
            for client in order:
                moving |= self._take_all(client)

    def _take_all(self, client: Client) -> bool:
        answered = False
        if client.line is not None:
            for packet in client.line.flush():
                answered |= client.take(packet)
            if client.line.closed:
                client.line = None
                client.events.append(("CLOSED",))
        for line in client.former:
            last = [packet for packet in line.flush() if packet.kind is not PacketKind.PUBLISH]
            client.events.append(("OTHER CONNECTION", line.closed, *last))
        client.former.clear()
        return answered

    def clear(self) -> None:
        """Leave no session and no retained message behind."""
        for client in self.clients:
            self.connect(client, clean=True, will=None)
            assert client.line is not None
            client.line.send(wire.encode(PacketKind.DISCONNECT))
            client.line.flush()
            for line in client.former:
                line.flush()
        for topic in sorted(TOPICS, key=len, reverse=True):  # mosquitto forgets its order only leaf by leaf
            self.control.send(wire.publish(topic, b"", retain=True))
        self.control.flush()
        self.control.send(wire.encode(PacketKind.DISCONNECT))
        self.control.flush()


@dataclass(frozen=True)
class Script:
    """What clients do, in pieces of which size, and with which packet id each of them begins."""

    ops: list[Op]
    pieces: int
    first_id: int


@dataclass(frozen=True)
class Op:
    client: int

    def apply(self, world: World, client: Client) -> None:
        """What a client does; one that is gone comes back instead, as it was."""
        if client.line is None:
            world.connect(client, client.clean, None)
        else:
            self.act(client, client.line)

    def act(self, client: Client, line: Line) -> None:
        """What a client does that is connected."""


@dataclass(frozen=True)
class Connect(Op):
    clean: bool
    will: ClientWill | None

    def apply(self, world: World, client: Client) -> None:
        world.connect(client, self.clean, self.will)


@dataclass(frozen=True)
class Stranger(Op):
    """A connection of its own that does not get in; what it sees is noted with the client."""

    data: bytes

    def apply(self, world: World, client: Client) -> None:
        world.refused(client, self.data)


@dataclass(frozen=True)
class Subscribe(Op):
    filters: tuple[tuple[str, int], ...]

    def act(self, client: Client, line: Line) -> None:
        line.send(wire.subscribe(client.new_id(), self.filters))


@dataclass(frozen=True)
class Unsubscribe(Op):
    filters: tuple[str, ...]

    def act(self, client: Client, line: Line) -> None:
        line.send(wire.unsubscribe(client.new_id(), self.filters))


@dataclass(frozen=True)
class Publish(Op):
    topic: str
    qos: int
    retain: bool
    empty: bool
    count: int  # more than one: a burst, against windows and queues
    finish: bool  # at QoS 2: release it at once; else Release does

    def act(self, client: Client, line: Line) -> None:
        for _ in range(self.count):
            if self.qos == 2 and len(client.unreleased) == WINDOW - 1:
                return
            packet_id = client.new_id()
            payload = b"" if self.empty else b"%s %d" % (client.name.encode(), packet_id)
            packet = wire.publish(self.topic, payload, qos=self.qos, retain=self.retain, packet_id=packet_id)
            line.send(packet)
            if self.qos == 2:
                client.unreleased[packet_id] = packet
                if self.finish:
                    client.finishing.add(packet_id)


@dataclass(frozen=True)
class Release(Op):
    """Finish the QoS 2 publications begun, the first `count` of them."""

    count: int

    def act(self, client: Client, line: Line) -> None:
        for packet_id in list(client.unreleased)[: self.count]:
            client.release(packet_id)


@dataclass(frozen=True)
class Repeat(Op):
    """Send the QoS 2 publications begun once more, as a client does that reconnected; once a connection."""

    def act(self, client: Client, line: Line) -> None:
        for packet_id, packet in client.unreleased.items():
            if packet_id not in client.repeated:
                client.repeated.add(packet_id)
                line.send(bytes([packet[0] | 8]) + packet[1:])


@dataclass(frozen=True)
class Hold(Op):
    """Withhold acknowledgements, or send those withheld: late, and maybe the newest first."""

    holding: bool
    newest_first: bool = False

    def act(self, client: Client, line: Line) -> None:
        client.holding = self.holding
        if not self.holding:
            owed, client.owed = client.owed, []
            for data in reversed(owed) if self.newest_first else owed:
                line.send(data)


@dataclass(frozen=True)
class AcknowledgeUnknown(Op):
    """Of what never was, or once more. Only while nothing is in flight: each widens mosquitto's window by
    one."""

    kind: PacketKind
    doubled: bool

    def act(self, client: Client, line: Line) -> None:
        if not client.owed:
            line.send(wire.acknowledgement(self.kind, client.acknowledged if self.doubled else 60_000))


@dataclass(frozen=True)
class Disconnect(Op):
    def act(self, client: Client, line: Line) -> None:
        line.send(wire.encode(PacketKind.DISCONNECT))


@dataclass(frozen=True)
class Abort(Op):
    def act(self, client: Client, line: Line) -> None:
        line.abort()
        client.line = None


@dataclass(frozen=True)
class Malformed(Op):
    data: bytes

    def act(self, client: Client, line: Line) -> None:
        line.send(self.data)


def mutated(packet: bytes, place: int, mask: int) -> bytes:
    """One byte changed: of the first one the flags, or any of its body. Of another length, the two brokers
    would wait for something else; another kind of packet is among MALFORMED."""
    changed = bytearray(packet)
    index = place % (len(packet) - 1)
    if index:
        changed[index + 1] ^= mask
    else:
        changed[0] ^= mask & 0x0F
    return packet if changed[0] & 0x0E == 0x08 else bytes(changed)  # header-flags: DUP at QoS 0


def connect(*fields: bytes, name: bytes = b"MQTT", level: int = 4, flags: int = 2, end: bytes = b"") -> bytes:
    content = b"".join(len(field).to_bytes(2, "big") + field for field in fields)
    body = len(name).to_bytes(2, "big") + name + bytes([level, flags, 0, 0])
    return wire.encode(PacketKind.CONNECT, body + content + end)


REFUSED = (
    connect(b"", flags=0),
    connect(b"x", name=b"MQTX"),
    connect(b"x", level=3),
    connect(b"x", level=0),
    connect(b"x", flags=3),
    connect(b"x", b"will", b"", flags=0x1E),
    connect(b"x", flags=0x0A),
    connect(b"x", flags=0x22),
    connect(b"x", b"password", flags=0x42),
    connect(b"x", b"\xff", flags=0x82),
    connect(b"x", b"will/#", b"", flags=6),
    connect(b"x", b"", b"", flags=6),
    connect(b"x", b"\1", b"", flags=6),
    connect(b"x", b"/" * 201, b"", flags=6),
    connect(b"x", flags=6),
    connect(),
    connect(b"\xff"),
    connect(b"a\0b"),
    connect(b"x", end=b"more"),
    wire.encode(PacketKind.CONNECT, connect(b"x")[2:], flags=1),
    wire.publish("a", b"x"),
    # Under the id of one who is connected, and stays so.
    *(
        packet
        for name in (b"client-0", b"client-1")
        for packet in (connect(name, flags=3), connect(name, b"password", flags=0x42), connect(name, level=3))
    ),
)
ACKNOWLEDGEMENTS = (PacketKind.PUBACK, PacketKind.PUBREC, PacketKind.PUBREL, PacketKind.PUBCOMP)
MALFORMED = (
    wire.publish("a/#", b"x"),
    wire.publish("", b"x"),
    wire.publish("a", b"x", qos=3, packet_id=1),
    wire.publish("a", b"x", qos=1, packet_id=0),
    wire.encode(PacketKind.PUBLISH, b"\0\1\xffx"),
    wire.encode(PacketKind.PUBLISH, b"\0\3a\0bx"),
    wire.encode(PacketKind.PUBLISH, b"\0\4a\xed\xa0\x80x"),
    wire.encode(PacketKind.PUBLISH, b"\0\2a\x1fx"),
    wire.encode(PacketKind.PUBLISH, b"\xff\xffx"),
    wire.encode(PacketKind.SUBSCRIBE, b"\0\1"),
    wire.encode(PacketKind.SUBSCRIBE, b"\0\1\0\1a\3"),
    wire.encode(PacketKind.SUBSCRIBE, b"\0\1\0\1a\0", flags=0),
    wire.encode(PacketKind.SUBSCRIBE, b"\0\0\0\1a\0"),
    wire.subscribe(1, [("a/#/b", 0)]),
    wire.subscribe(1, [("a+", 0)]),
    wire.subscribe(1, [("", 0)]),
    wire.encode(PacketKind.UNSUBSCRIBE, b"\0\1"),
    wire.encode(PacketKind.UNSUBSCRIBE, b"\0\1\0\1a", flags=0),
    wire.encode(PacketKind.PUBREL, b"\0\1", flags=0),
    b"\xf0\0",
    b"\0\0",
    b"\x30\xff\xff\xff\xff\x01",
    b"\x40\2\0\0",
    b"\x40\1\0",
    b"\xe1\0",
    b"\xe0\1x",
    b"\x20\2\0\0",
    wire.encode(PacketKind.SUBSCRIBE, b"\0\1\0\5a"),
    wire.encode(PacketKind.PUBLISH, b""),
    wire.publish("/" * 201, b"x"),
    wire.publish("\x80", b"x"),
    wire.publish("\ufffe", b"x"),
    wire.subscribe(1, [("/" * 201, 0)]),
    wire.unsubscribe(1, ["a#"]),
    wire.unsubscribe(0, ["a"]),
    b"\xc0\x80\x80\x80\x80\0",
)


EPILOGUE: list[
    Op
] = [  # brings to light what the brokers still hold: messages on their way, and retained ones
    *(Connect(number, False, None) for number in range(CLIENTS)),
    *(Hold(number, False) for number in range(CLIENTS)),
    Connect(0, True, None),
    Subscribe(0, tuple((topic, 2) for topic in TOPICS)),
]


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    """About a few topics, so that what one client does concerns the others.

    Overlapping filters at one QoS a client, or any QoS with filters that do not overlap (see the docs).
    """
    topics = draw(
        st.lists(st.sampled_from(TOPICS), min_size=1, max_size=draw(st.sampled_from((2, 2, 4))), unique=True)
    )
    overlapping = draw(st.booleans())
    levels = draw(st.tuples(*[st.integers(0, 2)] * CLIENTS))
    known = FILTERS if overlapping else DISJOINT_FILTERS
    useful = [topic_filter for topic_filter in known if any(matches(topic_filter, topic) for topic in topics)]
    client, qos, topic = st.integers(0, CLIENTS - 1), st.integers(0, 2), st.sampled_from(topics)
    filters = st.lists(st.sampled_from(useful), min_size=1, max_size=3)
    will = st.none() | st.builds(ClientWill, topic, st.sampled_from((b"will", b"")), qos, st.booleans())

    def subscribe(number: int, wanted: list[str], asked: list[int]) -> Op:
        granted = [levels[number]] * 3 if overlapping else asked
        return Subscribe(number, tuple(zip(wanted, granted, strict=False)))

    subscription = st.builds(subscribe, client, filters, st.lists(qos, min_size=3, max_size=3))
    connection = st.builds(Connect, client, st.booleans(), will)
    publication = st.builds(
        Publish,
        client,
        topic,
        qos,
        retain=st.booleans(),
        empty=st.sampled_from((False, False, False, True)),
        count=st.sampled_from((1, 1, 1, 2, 9)),
        finish=st.booleans(),
    )
    intact = st.builds(wire.publish, topic, st.just(b"mutated"), qos=qos, packet_id=st.just(40_000))
    # Of a filter that one changed byte makes match none of TOPICS: overlap-qos.
    asked = st.sampled_from((wire.subscribe(40_001, [("zz", 1)]), wire.unsubscribe(40_001, ["zz"])))
    mutant = st.builds(mutated, st.one_of(intact, intact, asked), st.integers(0, 40), st.integers(1, 255))
    rest: list[st.SearchStrategy[Op]] = [
        st.builds(Malformed, client, mutant),
        st.builds(Release, client, st.integers(1, 9)),
        st.builds(Repeat, client),
        st.builds(Unsubscribe, client, filters.map(tuple)),
        st.builds(Hold, client, st.booleans(), st.booleans()),
        st.builds(AcknowledgeUnknown, client, st.sampled_from(ACKNOWLEDGEMENTS), st.booleans()),
        st.builds(Disconnect, client),
        st.builds(Abort, client),
        st.builds(Malformed, client, st.sampled_from(MALFORMED)),
        st.builds(Stranger, client, st.sampled_from(REFUSED)),
    ]
    step = st.one_of([connection, connection, subscription, *[publication] * 5, *rest])
    begin: list[Op] = [Connect(number, draw(st.booleans()), draw(will)) for number in range(CLIENTS)]
    begin += [subscribe(number, draw(filters), [draw(qos)] * 3) for number in range(CLIENTS)]
    begin += [Hold(draw(client), True)]
    length = draw(st.integers(1, 25))
    ops = begin + draw(st.lists(step, min_size=length, max_size=length)) + EPILOGUE
    pieces = draw(st.sampled_from((AS_SENT, AS_SENT, JOINED, 1, 3, 7)))
    return Script(ops, pieces, draw(st.sampled_from((1, 65_530))))


def matches(topic_filter: str, topic: str) -> bool:
    """Only to choose filters that have to do with a topic; 4.7."""
    if topic_filter[0] in "+#" and topic[0] == "$":
        return False
    pattern = re.escape(topic_filter).replace(r"\+", "[^/]*").replace(r"/\#", "(/.*)?").replace(r"\#", ".*")
    return re.fullmatch(pattern, topic) is not None


# --- the comparison ----------------------------------------------------------------------------------------


def normalized(seen: list[list[Event]]) -> list[tuple[list[Event], list[Event]]]:
    """What is compared of each client: its packets in order, retained ones sorted (retained-order); PUBRELs
    by themselves, since when a waiting message may go out in between is another matter (window-overshoot)."""
    compared = []
    for events in seen:
        releases = [event for event in events if event[0] == "PUBREL"]
        others = [event for event in events if event[0] != "PUBREL"]
        runs = itertools.groupby(others, key=_is_retained)
        compared.append(
            (
                [event for retained, run in runs for event in (sorted(run, key=repr) if retained else run)],
                releases,
            )
        )
    return compared


def _is_retained(event: Event) -> bool:
    return event[0] == "PUBLISH" and bool(event[4])


def compare(script: Script, model: Broker, port: int, world: type[World] = World) -> None:
    """Run the script on both brokers; AssertionError at the first step they answer differently."""
    ours = world(lambda: ModelLine(model), script)
    theirs = world(lambda: SocketLine(port), script)
    try:
        for number, op in enumerate(script.ops):
            got, wanted = normalized(ours.step(op)), normalized(theirs.step(op))
            assert got == wanted, f"step {number} {op}:\n model {got}\n other {wanted}"
    finally:
        theirs.clear()


# What the embedded broker chose otherwise (docs/embedded-broker.md).


class OrderlySuccession(World):
    """Who goes on with a kept session ends its old connection first: whether a takeover publishes the will is
    the broker's choice."""

    def connect(self, client: Client, clean: bool, will: ClientWill | None) -> None:
        if client.line is not None and not clean and not client.clean:
            client.line.send(wire.encode(PacketKind.DISCONNECT))
            self._take_all(client)
        super().connect(client, clean, will)


def chosen_otherwise(op: Op) -> bool:
    """Another protocol's name, or a text with control characters and the like, which a broker may refuse."""
    data = op.data if isinstance(op, Malformed | Stranger) else b""
    return b"MQTX" in data or any(
        character < " " or "\x7f" <= character < "\xa0" or ord(character) & 0xFFFE == 0xFFFE
        for text in _texts(data[2:])
        for character in text
    )


def _texts(body: bytes) -> Iterator[str]:
    """Whatever in a packet may be a text: as long as the two bytes before it say."""
    for start in range(2, len(body)):
        size = int.from_bytes(body[start - 2 : start], "big")
        with contextlib.suppress(UnicodeDecodeError):
            if size <= len(body) - start:
                yield body[start : start + size].decode()


@contextlib.contextmanager
def running_ours(kind: str) -> Iterator[int]:
    """The port of a broker of ours in a process of its own."""
    command = [sys.executable, "-m", "dcompute_sim.brokers.serve", "--die-with-parent"]
    with subprocess.Popen(
        [*command, "--kind", kind, "--port", "0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["listening"][1]
        finally:
            process.terminate()


@contextlib.contextmanager
def running_mosquitto(folder: Path) -> Iterator[int]:
    """The port of a mosquitto with our small limits. It keeps running over many scripts."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    options = [
        f"listener {port} 127.0.0.1",
        "allow_anonymous true",
        f"max_inflight_messages {WINDOW}",
        f"max_queued_messages {QUEUE}",
        "set_tcp_nodelay true",
        *(["user root"] if os.geteuid() == 0 else []),  # or it becomes `mosquitto`, who cannot read it
    ]
    config, log = folder / "mosquitto.conf", folder / "mosquitto.log"
    config.write_text("\n".join(options) + "\n")
    with (
        log.open("wb") as output,
        subprocess.Popen([find_mosquitto(), "-c", config], stderr=output) as process,
    ):
        try:
            deadline_s = time.monotonic() + TIMEOUT_S
            while " running\n" not in log.read_text():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline_s, log.read_text()
                time.sleep(0.005)
            yield port
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def mosquitto_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with running_mosquitto(tmp_path_factory.mktemp("mosquitto")) as port:
        yield port


def search(each: Callable[[Script], None], examples: int, phases: tuple[Phase, ...]) -> None:
    """The same scripts every time: a difference that was not there yesterday comes from a change."""
    settings(
        derandomize=True,
        database=None,
        max_examples=examples,
        phases=phases,
        report_multiple_bugs=False,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )(given(scripts())(each))()


def as_mosquitto(port: int) -> Callable[[Script], None]:
    """What compares one script with mosquitto."""

    def each(script: Script) -> None:
        compare(script, Broker(BrokerConfig(inflight_window=WINDOW, queue_limit=QUEUE)), port)

    return each


def as_embedded(port: int) -> Callable[[Script], None]:
    """What compares one script with the embedded broker, which has limits of its own."""

    def each(script: Script) -> None:
        limits = BrokerConfig(inflight_window=EMBEDDED_WINDOW, queue_limit=WAITING_MAX)
        known = replace(script, ops=[op for op in script.ops if not chosen_otherwise(op)])
        compare(known, Broker(limits), port, OrderlySuccession)

    return each


@pytest.mark.timeout(300 + SCRIPTS)
def test_both_brokers_show_every_client_the_same(mosquitto_port: int) -> None:
    search(as_mosquitto(mosquitto_port), SCRIPTS, (Phase.generate, Phase.shrink))


@pytest.mark.timeout(300 + SCRIPTS)
def test_so_does_the_embedded_broker() -> None:
    with running_ours("embedded") as port:
        search(as_embedded(port), EMBEDDED_SCRIPTS, (Phase.generate, Phase.shrink))


def test_amqtt_as_it_comes_is_found_out() -> None:
    with running_ours("amqtt-plain") as port, pytest.raises(AssertionError, match="step "):
        search(as_embedded(port), EMBEDDED_SCRIPTS, (Phase.generate,))


# --- keepalive: what is a word, and who says none -----------------------------------------------------------

PATIENT = ["embedded", *(["mosquitto"] if SCRIPTS > 250 else [])]  # that one takes nine seconds to notice


def sayings() -> dict[str, tuple[int, Iterator[bytes]]]:
    """Each client's keepalive, in its own units, and what it says each half of one."""
    return {
        "nothing": (1, itertools.repeat(b"")),
        "pings": (1, itertools.repeat(wire.encode(PacketKind.PINGREQ))),
        "messages": (1, itertools.repeat(wire.publish("talk", b"x"))),
        "acknowledgements of nothing": (1, itertools.repeat(wire.acknowledgement(PacketKind.PUBACK, 60_000))),
        "a packet without end": (1, (bytes([byte]) for byte in wire.publish("talk", b"x" * 100))),
        "nothing, and need not": (0, itertools.repeat(b"")),
    }


def given_up(line: Callable[[], Line], keepalive_s: int, beats: int, half: Callable[[], None]) -> set[str]:
    """Whose will was published, of clients that say something each half of their keepalive, or nothing."""
    watcher = line()
    watcher.send(wire.connect("watcher", keepalive_s=0) + wire.subscribe(1, [("will/#", 0)]))
    watcher.flush()
    said = sayings()
    lines = {}
    for name, (times, _) in said.items():
        will = ClientWill(f"will/{name}", b"", 0, False)
        lines[name] = line()
        lines[name].send(wire.connect(name, keepalive_s=keepalive_s * times, will=will))
        lines[name].send(wire.subscribe(1, [("talk", 0)]))  # what is said to it is no word of its own
    for _ in range(beats):
        half()
        for name, (_, pieces) in said.items():
            if (piece := next(pieces)) and not lines[name].closed:
                lines[name].send(piece)
    seen = {
        wire.read_publish(packet).topic for packet in watcher.flush() if packet.kind is PacketKind.PUBLISH
    }
    for each in lines.values():
        each.abort()
    return seen


@pytest.mark.parametrize("kind", PATIENT)
def test_who_is_given_up_for_silence_is_the_same(kind: str, mosquitto_port: int) -> None:
    keepalive_s, beats = (1, 5) if kind == "embedded" else (2, 10)
    late_s: list[float] = []

    def half() -> None:
        began_s = time.monotonic()
        time.sleep(keepalive_s / 2)
        late_s.append(time.monotonic() - began_s)

    now_s = [0.0]
    model = Broker(BrokerConfig())

    def half_of_virtual_time() -> None:
        now_s[0] += keepalive_s / 2
        model.tick(now_s[0])

    ours = given_up(lambda: ModelLine(model, lambda: now_s[0]), keepalive_s, beats, half_of_virtual_time)
    assert ours == {"will/nothing", "will/a packet without end"}
    with running_ours("embedded") if kind == "embedded" else contextlib.nullcontext(mosquitto_port) as port:
        for _ in range(5):
            late_s.clear()
            theirs = given_up(lambda: SocketLine(port), keepalive_s, beats, half)
            if max(late_s) < keepalive_s:  # else this machine was too busy to ping in time
                break
    assert theirs == ours


def _no_will_at_takeover(patch: pytest.MonkeyPatch) -> None:
    brokers: list[Broker] = []
    init, parse = Broker.__init__, packets.parse_connect

    def noted(self: Broker, *args: Any, **options: Any) -> None:
        init(self, *args, **options)
        brokers.append(self)

    def will_forgotten(body: bytes) -> packets.Connect:
        connect = parse(body)
        session = brokers[-1].sessions.get(connect.client_id)
        if session is not None and session.connection is not None:
            session.connection.will = None
        return connect

    patch.setattr(Broker, "__init__", noted)
    patch.setattr(packets, "parse_connect", will_forgotten)


def _empty_does_not_clear(patch: pytest.MonkeyPatch) -> None:
    original = Router.retain
    patch.setattr(
        Router,
        "retain",
        lambda self, topic, payload, qos: original(self, topic, payload, qos) if payload else None,
    )


def _queue_one_longer(patch: pytest.MonkeyPatch) -> None:
    original = Session.__init__
    patch.setattr(
        Session,
        "__init__",
        lambda self, client_id, clean, window, limit, *policies: original(
            self, client_id, clean, window, limit + 1, *policies
        ),
    )


def _redelivery_without_dup(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("dcompute_sim.brokers.model.session.DUP", 0)


def _qos2_delivered_again(patch: pytest.MonkeyPatch) -> None:
    original = Router.deliver

    def twice(self: Router, topic: bytes, payload: bytes, qos: int, *rest: Any) -> None:
        for _ in range(2 if qos == 2 else 1):
            original(self, topic, payload, qos, *rest)

    patch.setattr(Router, "deliver", twice)


@pytest.mark.parametrize(
    "fault",
    [
        _no_will_at_takeover,
        _empty_does_not_clear,
        _queue_one_longer,
        _redelivery_without_dup,
        _qos2_delivered_again,
    ],
)
def test_a_faulty_model_is_found_out(
    mosquitto_port: int, monkeypatch: pytest.MonkeyPatch, fault: Callable[[pytest.MonkeyPatch], None]
) -> None:
    fault(monkeypatch)
    with pytest.raises(AssertionError, match="step "):
        search(as_mosquitto(mosquitto_port), 400, (Phase.generate,))
