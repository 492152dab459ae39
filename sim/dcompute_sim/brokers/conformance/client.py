"""A raw MQTT client with every misdeed at hand: withhold acknowledgements, fall silent, reset, garble.

It sends nothing by itself but the acknowledgements it is allowed to: no ping, no reconnection.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from dcompute.parts import number_of
from dcompute_sim.brokers.conformance import wire
from dcompute_sim.brokers.conformance.broker_under_test import BrokerUnderTest
from dcompute_sim.brokers.conformance.result import Violation
from dcompute_sim.brokers.conformance.wire import ClientWill, Packet, PacketKind

T = TypeVar("T")

WAIT_S = 10.0  # for an answer that a broker owes at once; generous, because the machine may be busy
_READ_BYTES = 1 << 16


class Message(NamedTuple):
    """One PUBLISH that arrived."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    dup: bool
    packet_id: int
    at_s: float  # loop time


class RefusedByBroker(Violation):
    """CONNACK with a return code other than 0."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the broker refused the connection with code {code}")
        self.code = code


class Client:
    """One TCP connection, and a task that reads it. Use `connect` to make one that is logged in."""

    def __init__(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.name = name
        self.messages: list[Message] = []
        self.session_present = False
        self.hold_acks = False  # withhold PUBACK and PUBREC
        self.hold_release = False  # withhold PUBREL
        self.closed_at_s: float | None = None
        self.failure: OSError | wire.Malformed | None = None  # what ended it, other than an orderly close
        self.last_sent_s = 0.0
        self._answers: dict[tuple[PacketKind, int], Packet] = {}
        self._half_received: set[int] = set()  # QoS 2 ids between PUBLISH and PUBREL
        self._next_id = 1
        self._waiting: list[asyncio.Future[None]] = []
        self._reader, self._writer = reader, writer
        self._loop = asyncio.get_running_loop()
        self._reading = asyncio.create_task(self._read())

    # --- what a client does -------------------------------------------------------------------------------

    async def subscribe(self, *filters: str, qos: int = 1, within_s: float = WAIT_S) -> bytes:
        """Return the return codes of the SUBACK."""
        packet_id = self._new_id()
        self.send(wire.subscribe(packet_id, [(topic_filter, qos) for topic_filter in filters]))
        return (await self._answer(PacketKind.SUBACK, packet_id, within_s)).body[2:]

    async def unsubscribe(self, *filters: str) -> None:
        packet_id = self._new_id()
        self.send(wire.unsubscribe(packet_id, filters))
        await self._answer(PacketKind.UNSUBACK, packet_id)

    async def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        """Return once the broker has taken responsibility (at QoS 0: once written)."""
        await self.finish(self.start_publish(topic, payload, qos=qos, retain=retain), qos)

    def start_publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> int:
        packet_id = self._new_id() if qos else 0
        self.send(wire.publish(topic, payload, qos=qos, retain=retain, packet_id=packet_id))
        return packet_id

    async def finish(self, packet_id: int, qos: int) -> None:
        """Wait until the publication under this id is acknowledged."""
        if qos == 0:
            await self._writer.drain()
        else:
            await self._answer(PacketKind.PUBACK if qos == 1 else PacketKind.PUBCOMP, packet_id)

    async def ping(self, within_s: float = WAIT_S) -> None:
        self._answers.pop((PacketKind.PINGRESP, 0), None)
        self.send(wire.encode(PacketKind.PINGREQ))
        await self._answer(PacketKind.PINGRESP, 0, within_s)

    async def received(self, kind: PacketKind, packet_id: int) -> None:
        """Wait for one packet of a handshake, such as PUBREC."""
        await self._answer(kind, packet_id)

    def acknowledge(self, message: Message) -> None:
        """Send the acknowledgement that was withheld."""
        kind = PacketKind.PUBACK if message.qos == 1 else PacketKind.PUBREC
        self.send(wire.acknowledgement(kind, message.packet_id))

    def send(self, data: bytes) -> None:
        self._writer.write(data)
        self.last_sent_s = self._loop.time()

    async def log_in(self, packet: bytes, within_s: float = WAIT_S) -> None:
        """Send CONNECT and wait for its CONNACK; RefusedByBroker when that says so."""
        self.send(packet)
        answer = await self._answer(PacketKind.CONNACK, 0, within_s)
        if len(answer.body) != 2:
            raise Violation(f"CONNACK of {len(answer.body)} bytes instead of 2")
        if answer.body[1]:
            raise RefusedByBroker(answer.body[1])
        self.session_present = bool(answer.body[0] & 1)

    # --- ways to end it -----------------------------------------------------------------------------------

    async def disconnect(self) -> None:
        """Leave as a client should: DISCONNECT, then FIN."""
        if self.closed_at_s is None:
            self.send(wire.encode(PacketKind.DISCONNECT))
        await self.fin()

    async def fin(self) -> None:
        """Close without DISCONNECT, as the kernel does for a process that was killed."""
        self._writer.close()
        await self._end_reading()
        try:
            async with asyncio.timeout(WAIT_S):  # over TLS the broker has a say in it
                await self._writer.wait_closed()
        except OSError:
            self._writer.transport.abort()

    async def reset(self) -> None:
        """End it by RST, as a board does that was restarted."""
        raw: socket.socket | None = self._writer.get_extra_info("socket")
        if raw is not None and raw.fileno() >= 0:  # else it is closed already
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()
        await self._end_reading()

    # --- waiting ------------------------------------------------------------------------------------------

    async def until(self, found: Callable[[], T | None], what: str, within_s: float = WAIT_S) -> T:
        """Wait until `found` gives something; Violation when it takes too long or the connection ends."""
        deadline = self._loop.time() + within_s
        while (value := found()) is None:
            left = deadline - self._loop.time()
            if self.closed_at_s is not None:
                why = f" ({self.failure})" if self.failure else ""
                raise Violation(
                    f"{self.name}: the broker closed the connection{why}; expected {what}"
                ) from self.failure
            if left <= 0:
                raise Violation(f"{self.name}: no {what} within {within_s:g} s")
            waiter = self._loop.create_future()
            self._waiting.append(waiter)
            await asyncio.wait([waiter], timeout=left)
        return value

    async def message(self, topic: str, payload: bytes | None = None, within_s: float = WAIT_S) -> Message:
        """Return the first message on `topic` (with this payload, if given), already here or to come."""

        def found() -> Message | None:
            for message in self.messages:
                if message.topic == topic and payload in (None, message.payload):
                    return message
            return None

        what = f"message on {_end_of(topic)}" + (f" saying {payload[:40]!r}" if payload is not None else "")
        return await self.until(found, what, within_s)

    async def message_count(self, topic: str, count: int, within_s: float = WAIT_S) -> list[Message]:
        """Return the messages on `topic`, once there are `count`."""
        try:
            await self.until(lambda: len(self.on(topic)) >= count or None, "message", within_s)
        except Violation as violation:
            raise Violation(
                f"{violation}; {len(self.on(topic))} of {number_of(count, 'message')} came"
            ) from None
        return self.on(topic)

    async def closed_by_broker(self, within_s: float = WAIT_S) -> bool:
        await asyncio.wait([self._reading], timeout=within_s)
        return self.closed_at_s is not None

    def on(self, topic: str) -> list[Message]:
        return [message for message in self.messages if message.topic == topic]

    # --- inside -------------------------------------------------------------------------------------------

    async def _answer(self, kind: PacketKind, packet_id: int, within_s: float = WAIT_S) -> Packet:
        return await self.until(lambda: self._answers.get((kind, packet_id)), kind.name, within_s)

    def _new_id(self) -> int:
        packet_id, self._next_id = self._next_id, self._next_id % 0xFFFF + 1
        for kind in (
            PacketKind.PUBACK,
            PacketKind.PUBREC,
            PacketKind.PUBCOMP,
            PacketKind.SUBACK,
            PacketKind.UNSUBACK,
        ):
            self._answers.pop((kind, packet_id), None)
        return packet_id

    async def _read(self) -> None:
        buffer = bytearray()
        try:
            while data := await self._reader.read(_READ_BYTES):
                buffer += data
                for packet in wire.take_packets(buffer):
                    self._take(packet)
                self._wake()
        except (OSError, wire.Malformed) as error:
            self.failure = error
        finally:
            self.closed_at_s = self._loop.time()
            self._wake()

    def _take(self, packet: Packet) -> None:
        if packet.kind is PacketKind.PUBLISH:
            self._take_publish(wire.read_publish(packet))
        elif packet.kind in (PacketKind.CONNACK, PacketKind.PINGRESP):
            self._answers[packet.kind, 0] = packet
        else:
            packet_id = wire.read_packet_id(packet)
            self._answers[packet.kind, packet_id] = packet
            if packet.kind is PacketKind.PUBREC and not self.hold_release:
                self.send(wire.acknowledgement(PacketKind.PUBREL, packet_id))
            elif packet.kind is PacketKind.PUBREL:
                self._half_received.discard(packet_id)
                self.send(wire.acknowledgement(PacketKind.PUBCOMP, packet_id))

    def _take_publish(self, publish: wire.Publish) -> None:
        message = Message(*publish, at_s=self._loop.time())
        if publish.qos < 2 or publish.packet_id not in self._half_received:
            self.messages.append(message)
        if publish.qos == 2:
            self._half_received.add(publish.packet_id)
        if publish.qos and not self.hold_acks:
            self.acknowledge(message)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    async def _end_reading(self) -> None:
        self._reading.cancel()
        await asyncio.wait([self._reading])


async def dial(target: BrokerUnderTest, name: str, within_s: float = WAIT_S) -> Client:
    """Return a TCP (or TLS) connection on which nothing was said yet; OSError when there is none."""
    try:
        async with asyncio.timeout(within_s):
            reader, writer = await asyncio.open_connection(target.host, target.port, ssl=target.tls)
    except TimeoutError:
        raise TimeoutError(f"no connection within {within_s:g} s") from None
    return Client(name, reader, writer)


async def connect(
    target: BrokerUnderTest,
    name: str,
    *,
    clean: bool = True,
    keepalive_s: int = 60,
    will: ClientWill | None = None,
    within_s: float = WAIT_S,
) -> Client:
    """Return a client that is logged in with the target's credentials."""
    client = await dial(target, name, within_s)
    packet = wire.connect(
        target.client_id(name),
        clean=clean,
        keepalive_s=keepalive_s,
        will=will,
        username=target.username,
        password=target.password,
    )
    try:
        await client.log_in(packet, within_s)
    except BaseException:
        await client.reset()
        raise
    return client


def _end_of(topic: str) -> str:
    """Return what distinguishes a topic of ours: the levels behind prefix and token."""
    return "/".join(topic.split("/")[2:]) or topic
