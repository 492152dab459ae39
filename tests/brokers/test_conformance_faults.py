"""Every row of the conformance suite can fail: a tiny broker that passes them all, and its faults."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

import pytest
from dcompute_sim.brokers.conformance import PROPERTIES, BrokerUnderTest, PropertyOutcome, Row, check, wire
from dcompute_sim.brokers.conformance.wire import ClientWill, Malformed, Packet, PacketKind

from .leaping import LeapingLoop, run_leaping

USER, PASSWORD = "tester", "secret"

# A fault of the tiny broker, the row that must fail, and a word its explanation must hold
FAULTS = (
    ("no will on reset", "will-on-reset", "no message"),
    ("no will on fin", "will-on-fin", "no message"),
    ("will after disconnect", "no-will-after-disconnect", "DISCONNECT"),
    ("never notices silence", "will-on-silence", "no will published"),
    ("notices silence early", "will-on-silence", "before 1.5"),
    ("notices silence early", "healthy-client-is-kept", "dropped"),
    ("ping is no sign of life", "healthy-client-is-kept", "pings"),
    ("publish is no sign of life", "healthy-client-is-kept", "publishes"),
    ("old connection left open", "takeover-clean-session", "left open"),
    ("old connection left open", "takeover-kept-session", "left open"),
    ("old connection left open", "successors-status-stays", "dead"),
    ("will after takeover", "takeover-clean-session", "after the successor's"),
    ("will after takeover", "takeover-kept-session", "after the successor's"),
    ("will after takeover", "successors-status-stays", "dead"),
    ("no will at takeover", "takeover-clean-session", "not published"),
    ("successor dropped", "successor-stays-connected", "dropped"),
    ("subscriptions die at takeover", "successor-stays-connected", "no message"),
    ("nothing retained", "retained-set", "no message"),
    ("retain flag always", "retained-set", "flag is 1"),
    ("retain flag never", "retained-set", "flag is 0"),
    ("first retained stays", "retained-replaced", "no message"),
    ("everything retained", "retained-replaced", "no message"),
    ("empty payload retained", "retained-cleared", "cleared"),
    ("will not retained", "retained-will", "no message"),
    ("all retained to everybody", "only-matching-retained", "did not ask"),
    ("delivers at the higher qos", "qos-is-the-lower", "published 0, subscribed 1, got 1"),
    ("delivers at published qos", "qos-is-the-lower", "published 1, subscribed 0, got 1"),
    ("first qos stays", "resubscribing-replaces", "still delivered at QoS 0"),
    ("delivers a subscription twice", "resubscribing-replaces", "twice"),
    ("retained only once", "resubscribing-replaces", "closed|no message"),
    ("unsubscribe ignored", "unsubscribing-ends", "unsubscribed"),
    ("hash without parent", "wildcards", "'a/#' did not match 'a'"),
    ("plus over levels", "wildcards", "'a/+' matched 'a/b/c'"),
    ("copies to a stranger", "nothing-unsolicited", "did not ask"),
    ("swaps neighbours", "order-of-a-topic", "out of order"),
    ("loses one in fifty", "order-of-a-topic", "came"),
    ("window of ten", "late-acknowledgements", "10 of 100"),
    ("qos 2 twice", "exactly-once", "repeated"),
    ("latin-1 topics", "non-ascii", ""),
    ("payload in characters", "non-ascii", "bytes"),
    ("never delivers again", "redelivery", "no message"),
    ("delivers again without dup", "redelivery", "DUP 0"),
    ("delivers again under a new id", "redelivery", "id"),
    ("session present never", "redelivery", "session present 0"),
    ("ignores acknowledgements", "redelivery", "third time"),
    ("gives up after 5 s", "patience", "no message"),
    ("queue of ten", "kept-session-queues", "10 of 50"),
    ("session present never", "kept-session-queues", "session present 0"),
    ("clean session remembers", "clean-session-forgets", "session present 1"),
    ("cuts large payloads", "large-payload", "bytes arrived"),
    ("reads a packet at a time", "split-and-joined-packets", ""),
    ("dies of malformed packets", "malformed-client", "bystander"),
    ("forgives malformed packets", "malformed-client", "left connected"),
    ("fifty connections", "many-connections", "did not get in"),
    ("anybody may enter", "wrong-password", "let in with a wrong password"),
    ("anonymous may enter", "wrong-password", "let in with no credentials"),
    ("refuses as a bad client id", "wrong-password", "code 2"),
    ("refuses and stays connected", "wrong-password", "left connected"),
)


@dataclass(eq=False)
class Link:
    """One connection of the tiny broker."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    will: ClientWill | None = None
    keepalive_s: int = 0
    patience: asyncio.Timeout | None = None

    def send(self, data: bytes) -> None:
        if not self.writer.is_closing():
            self.writer.write(data)


@dataclass(eq=False)
class Session:
    client_id: str
    clean: bool
    link: Link | None = None
    filters: dict[str, int] = field(default_factory=dict)
    unacknowledged: dict[int, tuple[str, bytes, int, bool]] = field(default_factory=dict)
    half_received: set[int] = field(default_factory=set)
    ids: Iterator[int] = field(default_factory=lambda: count(1))


class TinyBroker:
    """Enough of MQTT 3.1.1 to pass the suite, with at most one fault."""

    def __init__(self, fault: str = "") -> None:
        self.fault = fault
        self.sessions: dict[str, Session] = {}
        self.retained: dict[str, tuple[bytes, int]] = {}
        self.links: list[Link] = []
        self.held: tuple[Session, bytes] | None = None
        self.sent = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(reader, writer)
        self.links.append(link)
        session: Session | None = None
        keep_open = False
        try:
            session = await self.log_in(link)
            await self.talk(link, session)
            if self.fault != "will after disconnect":
                link.will = None
        except ConnectionResetError:
            if self.fault == "no will on reset":
                link.will = None
        except asyncio.IncompleteReadError:
            if self.fault == "no will on fin":
                link.will = None
        except TimeoutError:
            pass
        except PermissionError:
            keep_open = self.fault == "refuses and stays connected"
        except Malformed:
            if self.fault == "dies of malformed packets":
                for other in self.links:
                    other.writer.transport.abort()
        except asyncio.CancelledError:
            return
        if keep_open:
            await asyncio.sleep(60)
        self.links.remove(link)
        writer.close()
        self.publish_will(link)
        if session is not None and session.link is link:
            session.link = None
            replaced = self.sessions.get(session.client_id) is not session
            if session.clean and not replaced and self.fault != "clean session remembers":
                self.sessions.pop(session.client_id)

    # --- logging in ---------------------------------------------------------------------------------------

    async def log_in(self, link: Link) -> Session:
        packet = await self.read(link)
        body = packet.body
        if packet.kind is not PacketKind.CONNECT or body[:7] != wire.text("MQTT") + b"\4":
            raise Malformed("no CONNECT")
        flags, link.keepalive_s = body[7], int.from_bytes(body[8:10], "big")
        strings = list(_strings(body[10:]))
        client_id = strings.pop(0).decode()
        if flags & 4:
            topic, payload = strings.pop(0).decode(), strings.pop(0)
            retain = bool(flags & 32) and self.fault != "will not retained"
            link.will = ClientWill(topic, payload, flags >> 3 & 3, retain)
        self.authenticate(link, [string.decode() for string in strings])
        if self.fault == "fifty connections" and len(self.links) > 50:
            raise Malformed("full")
        return self.attach(link, client_id, clean=bool(flags & 2))

    def authenticate(self, link: Link, credentials: list[str]) -> None:
        if self.fault == "anybody may enter" or credentials == [USER, PASSWORD]:
            return
        if self.fault == "anonymous may enter" and not credentials:
            return
        link.will = None
        link.send(
            wire.encode(
                PacketKind.CONNACK, b"\0" + (b"\2" if self.fault == "refuses as a bad client id" else b"\5")
            )
        )
        raise PermissionError

    def attach(self, link: Link, client_id: str, *, clean: bool) -> Session:
        old = self.sessions.get(client_id)
        if old is not None and old.link is not None:
            self.take_over(old.link)
            if self.fault == "subscriptions die at takeover":
                asyncio.get_running_loop().call_later(0.5, self.sessions.pop, client_id)
            if self.fault == "successor dropped":
                asyncio.get_running_loop().call_later(0.5, link.writer.close)
        present = old is not None and (not clean or self.fault == "clean session remembers")
        session = self.sessions[client_id] = old if old is not None and present else Session(client_id, clean)
        session.link, session.clean = link, clean
        said = present and self.fault != "session present never"
        link.send(wire.encode(PacketKind.CONNACK, bytes([said, 0])))
        self.send_again(session)
        if self.fault == "all retained to everybody":
            for topic, (payload, _) in self.retained.items():
                link.send(wire.publish(topic, payload, retain=True))
        return session

    def take_over(self, old: Link) -> None:
        if self.fault == "old connection left open":
            return
        if self.fault == "will after takeover":
            asyncio.get_running_loop().call_later(
                0.03, self.publish_will, Link(old.reader, old.writer, old.will)
            )
            old.will = None
        elif self.fault == "no will at takeover":
            old.will = None
        self.publish_will(old)
        old.writer.close()

    def send_again(self, session: Session) -> None:
        if self.fault == "never delivers again":
            session.unacknowledged.clear()
        if self.fault == "delivers again under a new id":
            renamed = [(next(session.ids), message) for message in session.unacknowledged.values()]
            session.unacknowledged = dict(renamed)
        for packet_id, (topic, payload, qos, retain) in session.unacknowledged.items():
            dup = self.fault != "delivers again without dup"
            again = wire.publish(topic, payload, qos=qos, retain=retain, dup=dup, packet_id=packet_id)
            assert session.link is not None
            session.link.send(again)

    def publish_will(self, link: Link) -> None:
        will, link.will = link.will, None
        if will is not None:
            self.publish(will.topic, will.payload, will.qos, will.retain)

    # --- packets of a client that is logged in ------------------------------------------------------------

    async def talk(self, link: Link, session: Session) -> None:
        factor = 1.1 if self.fault == "notices silence early" else 1.5
        limit_s = None if self.fault == "never notices silence" else factor * link.keepalive_s or None
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(limit_s) as patience:
            while True:
                try:
                    packet = await self.read(link)
                    if self.is_sign_of_life(packet) and limit_s is not None:
                        patience.reschedule(loop.time() + limit_s)
                    if packet.kind is PacketKind.DISCONNECT:
                        return
                    self.handle(packet, link, session)
                except Malformed:
                    if self.fault != "forgives malformed packets":
                        raise

    def is_sign_of_life(self, packet: Packet) -> bool:
        if packet.kind is PacketKind.PINGREQ:
            return self.fault != "ping is no sign of life"
        return packet.kind is not PacketKind.PUBLISH or self.fault != "publish is no sign of life"

    def handle(self, packet: Packet, link: Link, session: Session) -> None:
        if packet.kind is PacketKind.PINGREQ:
            link.send(wire.encode(PacketKind.PINGRESP))
        elif packet.kind is PacketKind.PUBLISH:
            self.handle_publish(packet, link, session)
        elif packet.kind is PacketKind.SUBSCRIBE:
            self.handle_subscribe(packet, link, session)
        elif packet.kind is PacketKind.UNSUBSCRIBE:
            for topic_filter in _strings(packet.body[2:]):
                if self.fault != "unsubscribe ignored":
                    session.filters.pop(topic_filter.decode(), None)
            link.send(wire.acknowledgement(PacketKind.UNSUBACK, wire.read_packet_id(packet)))
        elif packet.kind in (PacketKind.PUBACK, PacketKind.PUBCOMP):
            if self.fault != "ignores acknowledgements":
                session.unacknowledged.pop(wire.read_packet_id(packet), None)
        elif packet.kind is PacketKind.PUBREC:
            link.send(wire.acknowledgement(PacketKind.PUBREL, wire.read_packet_id(packet)))
        elif packet.kind is PacketKind.PUBREL:
            session.half_received.discard(wire.read_packet_id(packet))
            link.send(wire.acknowledgement(PacketKind.PUBCOMP, wire.read_packet_id(packet)))
        else:
            raise Malformed(packet.kind.name)

    def handle_publish(self, packet: Packet, link: Link, session: Session) -> None:
        publish = wire.read_publish(packet)
        if {"+", "#"} & set(publish.topic):
            raise Malformed("PUBLISH to a wildcard")
        topic, payload = publish.topic, publish.payload
        if self.fault == "latin-1 topics":
            topic = topic.encode().decode("latin-1")
        if self.fault == "cuts large payloads":
            payload = payload[: 1 << 16]
        if self.fault == "payload in characters":
            payload = payload[: len(payload.decode(errors="replace"))]
        if publish.qos == 2:
            link.send(wire.acknowledgement(PacketKind.PUBREC, publish.packet_id))
            if publish.packet_id in session.half_received and self.fault != "qos 2 twice":
                return
            session.half_received.add(publish.packet_id)
        self.publish(topic, payload, publish.qos, publish.retain)
        if publish.qos == 1:
            link.send(wire.acknowledgement(PacketKind.PUBACK, publish.packet_id))

    def handle_subscribe(self, packet: Packet, link: Link, session: Session) -> None:
        if packet.flags != 0b0010 or len(packet.body) < 6:
            raise Malformed("SUBSCRIBE")
        rest, granted = packet.body[2:], []
        while rest:
            end = 2 + int.from_bytes(rest[:2], "big")
            topic_filter, qos, rest = rest[2:end].decode(), rest[end], rest[end + 1 :]
            granted.append((topic_filter, qos, topic_filter in session.filters))
            if self.fault != "first qos stays" or topic_filter not in session.filters:
                session.filters[topic_filter] = qos
            if self.fault == "delivers a subscription twice" and granted[-1][2]:
                session.filters[topic_filter.replace("resubscribing", "+", 0) + "/#"] = qos
        codes = bytes(qos for _, qos, _ in granted)
        link.send(wire.encode(PacketKind.SUBACK, packet.body[:2] + codes))
        for topic_filter, qos, again in granted:
            if again and self.fault == "retained only once":
                continue
            for topic, (payload, stored_qos) in self.retained.items():
                if self.matches(topic_filter, topic):
                    self.deliver(
                        session, topic, payload, min(qos, stored_qos), self.fault != "retain flag never"
                    )

    # --- delivery -----------------------------------------------------------------------------------------

    def publish(self, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        self.sent += 1
        if self.fault == "loses one in fifty" and self.sent % 50 == 0:
            return
        if (retain or self.fault == "everything retained") and self.fault != "nothing retained":
            if not payload and self.fault != "empty payload retained":
                self.retained.pop(topic, None)
            elif topic not in self.retained or self.fault != "first retained stays":
                self.retained[topic] = (payload, qos)
        flag = self.fault == "retain flag always" and retain
        for number, session in enumerate(list(self.sessions.values())):
            granted = [asked for each, asked in session.filters.items() if self.matches(each, topic)]
            if not granted:
                if self.fault == "copies to a stranger" and (self.sent + number) % 100 == 0:
                    self.deliver(session, topic, payload, 0, flag)
                continue
            times = 1
            if self.fault == "delivers a subscription twice":
                times = len(granted)
            for _ in range(times):
                self.deliver(session, topic, payload, self.delivered_qos(qos, max(granted)), flag)

    def delivered_qos(self, published: int, granted: int) -> int:
        if self.fault == "delivers at the higher qos":
            return max(published, granted)
        return published if self.fault == "delivers at published qos" else min(published, granted)

    def deliver(self, session: Session, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        packet_id = next(session.ids) if qos else 0
        if qos:
            if self.fault == "queue of ten" and session.link is None and len(session.unacknowledged) >= 10:
                return
            if self.fault == "window of ten" and len(session.unacknowledged) >= 10:
                return
            session.unacknowledged[packet_id] = (topic, payload, qos, retain)
            if self.fault == "gives up after 5 s":
                asyncio.get_running_loop().call_later(5, session.unacknowledged.pop, packet_id, None)
        if session.link is None:
            return
        data = wire.publish(topic, payload, qos=qos, retain=retain, packet_id=packet_id)
        if self.fault == "swaps neighbours" and payload.isdigit() and int(payload) % 50 in (10, 11):
            if self.held is None:
                self.held = (session, data)
                return
            data, self.held = data + self.held[1], None
        session.link.send(data)

    def matches(self, topic_filter: str, topic: str) -> bool:
        if self.fault == "hash without parent" and topic_filter == topic + "/#":
            return False
        wanted, levels = topic_filter.split("/"), topic.split("/")
        for index, level in enumerate(wanted):
            if level == "#":
                return True
            if index >= len(levels) or level not in ("+", levels[index]):
                return False
        return len(wanted) == len(levels) or (wanted[-1] == "+" and self.fault == "plus over levels")

    # --- bytes --------------------------------------------------------------------------------------------

    async def read(self, link: Link) -> Packet:
        if self.fault == "reads a packet at a time":
            buffer = bytearray(await link.reader.read(1 << 16))
            for packet in wire.take_packets(buffer):
                return packet
            raise asyncio.IncompleteReadError(b"", 2)
        header = await link.reader.readexactly(1)
        length = shift = 0
        while True:
            (byte,) = await link.reader.readexactly(1)
            length |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
            if shift > 21:
                raise Malformed("remaining length")
        if not 1 <= header[0] >> 4 <= 14:
            raise Malformed("packet type")
        return Packet(PacketKind(header[0] >> 4), header[0] & 15, await link.reader.readexactly(length))


def _strings(rest: bytes) -> Iterator[bytes]:
    while rest:
        (length,) = struct.unpack("!H", rest[:2])
        yield rest[2 : 2 + length]
        rest = rest[2 + length :]


async def _judged(fault: str, rows: list[str] | None) -> list[Row]:
    broker = TinyBroker(fault)
    server = await asyncio.start_server(broker.serve, "127.0.0.1", 0, backlog=1000)
    async with server:
        target = BrokerUnderTest(
            "127.0.0.1",
            server.sockets[0].getsockname()[1],
            token="t",
            username=USER,
            password=PASSWORD,
            keepalive_s=1,
            lateness_bound_s=1.0,
            connections=100,
        )
        rows_seen = await check(target, rows)
        server.close()
        for link in broker.links:
            link.writer.transport.abort()
    return rows_seen


Verdicts = dict[tuple[str, str], Row]
NO_FAULT = ""


@pytest.fixture(scope="module")
def verdicts() -> Verdicts:
    """All faults at once, each in a broker of its own: most rows fail by waiting in vain. Fault and row."""

    async def judge_all() -> Verdicts:
        async with asyncio.TaskGroup() as group:
            tasks = [(fault, group.create_task(_judged(fault, [row]))) for fault, row, _ in FAULTS]
            tasks.append((NO_FAULT, group.create_task(_judged(NO_FAULT, None))))
        return {(fault, row.name): row for fault, task in tasks for row in task.result()}

    return run_leaping(judge_all())


@pytest.mark.parametrize(
    ("fault", "row", "word"), FAULTS, ids=[f"{row}: {fault}" for fault, row, _ in FAULTS]
)
def test_the_row_fails(verdicts: Verdicts, fault: str, row: str, word: str) -> None:
    verdict = verdicts[fault, row]
    assert verdict.outcome is PropertyOutcome.FAILED
    assert any(each in verdict.detail for each in word.split("|")), verdict.detail


@pytest.mark.parametrize("at_s", [1.2, 2.4, 3.6])
@pytest.mark.parametrize("for_s", [0.4, 0.7])
def test_a_client_that_was_late_itself_is_no_fault_of_the_broker(at_s: float, for_s: float) -> None:
    """The machine was busy: its packet crossed the end of its connection."""

    async def main() -> list[Row]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, LeapingLoop)
        loop.call_later(at_s, loop.stall, for_s)
        return await _judged(NO_FAULT, ["healthy-client-is-kept"])

    (row,) = run_leaping(main())
    assert row.outcome is PropertyOutcome.PASSED, row.detail


def test_without_a_fault_every_row_passes(verdicts: Verdicts) -> None:
    rows = [row for (fault, _), row in verdicts.items() if fault == NO_FAULT]
    assert len(rows) == len(PROPERTIES)
    assert [row for row in rows if row.outcome is not PropertyOutcome.PASSED] == []


# Warnings and figures of brokers within their rights: shown by real ones, in test_conformance_limits.py.
LIMITS = {
    "in-flight-limit",
    "packet-limit",
    "access-rules",
    "queue-limit",
    "retained-replay",
    "mass-death",
}


def test_every_row_was_shown_to_fail() -> None:
    assert {row for _, row, _ in FAULTS} == {each.name for each in PROPERTIES} - LIMITS
