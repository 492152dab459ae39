"""The parts of the embedded broker that do no I/O: framing, subscriptions, outbox."""

from __future__ import annotations

import asyncio

import pytest
from amqtt.session import Session
from dcompute_sim.brokers.conformance import wire
from dcompute_sim.brokers.conformance.wire import ClientWill, Packet, PacketKind
from dcompute_sim.brokers.embedded import framing, outbox, subscriptions
from dcompute_sim.brokers.embedded.client_connection import decode
from dcompute_sim.brokers.embedded.outbox import Outbox
from dcompute_sim.brokers.embedded.subscriptions import Subscriptions
from hypothesis import given
from hypothesis import strategies as st

# -- framing

WELL_FORMED = (
    wire.connect("n", will=ClientWill("n/status", b"\xff\0", 2, retain=True), username="u", password="p"),
    wire.connect(""),
    wire.publish("t", b""),
    wire.publish("ä/b", b"x" * 200, qos=2, retain=True, dup=True, packet_id=65_535),
    wire.subscribe(1, [("a/+", 0), ("#", 2)]),
    wire.unsubscribe(1, ["a/+"]),
    *(
        wire.acknowledgement(kind, 1)
        for kind in (PacketKind.PUBACK, PacketKind.PUBREC, PacketKind.PUBREL, PacketKind.PUBCOMP)
    ),
    wire.encode(PacketKind.PINGREQ),
    wire.encode(PacketKind.DISCONNECT),
)


@pytest.mark.parametrize("packet", WELL_FORMED)
def test_a_packet_is_found_once_it_is_whole(packet: bytes) -> None:
    assert framing.packet_size(packet + b"rest") == len(packet)
    assert framing.check(packet) == packet[0] >> 4
    assert all(
        (framing.packet_size(packet[:count]) or len(packet)) == len(packet) for count in range(len(packet))
    )


def mutated(packet: bytes) -> st.SearchStrategy[bytes]:
    """The packet with some bytes of its body replaced, inserted or cut off, and its length set right."""
    _, _, body = next(wire.take_packets(bytearray(packet)))
    cut = st.tuples(st.integers(0, len(body)), st.integers(0, 3), st.binary(max_size=3))
    return cut.map(lambda c: _with_body(packet, body[: c[0]] + c[2] + body[c[0] + c[1] :]))


def _with_body(packet: bytes, body: bytes) -> bytes:
    return wire.encode(PacketKind(packet[0] >> 4), body, packet[0] & 0x0F)


@given(st.one_of(st.sampled_from(WELL_FORMED).flatmap(mutated), st.binary(min_size=2, max_size=40)))
def test_what_passes_the_check_amqtt_decodes_to_the_last_byte(packet: bytes) -> None:
    try:
        if framing.packet_size(packet) != len(packet):
            return
        framing.check(packet)
    except framing.MalformedPacket:
        return
    decoded = asyncio.run(decode(packet))
    if packet[0] >> 4 == PacketKind.CONNECT and decoded.client_id_is_random:
        return  # amqtt fills in an id
    password = framing.password(packet) if packet[0] >> 4 == PacketKind.CONNECT else None
    if password:  # the last field; amqtt makes a text of it, and is not asked for it
        assert packet.endswith(len(password).to_bytes(2, "big") + password)
        packet = packet.removesuffix(password) + b"p" * len(password)
        decoded.password = "p" * len(password)
    assert decoded.to_bytes() == packet


# -- subscriptions

LEVELS = st.sampled_from(["a", "b", "", "$s"])
TOPICS = st.lists(LEVELS, min_size=1, max_size=4).map("/".join).filter(bool)
FILTERS = st.lists(st.one_of(LEVELS, st.sampled_from(["+", "#"])), min_size=1, max_size=4).map("/".join)
CHANGES = st.lists(
    st.tuples(st.sampled_from("xyz"), FILTERS.filter(subscriptions.is_valid), st.integers(-1, 2)), max_size=12
)


def takes(names: list[str], topic: list[str]) -> bool:
    """Section 4.7 word for word, the slow way."""
    if names == ["#"]:
        return True
    if not names or not topic:
        return not names and not topic
    return names[0] in ("+", topic[0]) and (
        takes(names[1:], topic[1:]) if topic[1:] or names[1:] != ["#"] else True
    )


@given(CHANGES, TOPICS)
def test_a_message_finds_its_subscribers(changes: list[tuple[str, str, int]], topic: str) -> None:
    wanted = Subscriptions()
    expected: dict[tuple[str, str], int] = {}
    for client_id, topic_filter, qos in changes:  # QoS -1: unsubscribe
        if qos < 0:
            wanted.remove(client_id, topic_filter)
            expected.pop((client_id, topic_filter), None)
        else:
            wanted.add(client_id, topic_filter, qos)
            expected[client_id, topic_filter] = qos
    found: dict[str, int] = {}
    for (client_id, topic_filter), qos in expected.items():
        hidden = topic.startswith("$") and topic_filter[0:1] in ("+", "#")
        if takes(topic_filter.split("/"), topic.split("/")) and not hidden:
            found[client_id] = max(qos, found.get(client_id, 0))
    assert wanted.match(topic) == found
    for client_id in "xyz":
        assert wanted.of(client_id) == {f: qos for (owner, f), qos in expected.items() if owner == client_id}
        wanted.forget(client_id)
    assert wanted.is_empty


@pytest.mark.parametrize("topic_filter", ["#", "+", "a", "/", "a/#", "+/+/#", "a/+/b", "/+"])
def test_valid_filters(topic_filter: str) -> None:
    assert subscriptions.is_valid(topic_filter)


@pytest.mark.parametrize("topic_filter", ["", "a#", "#/a", "a/#/b", "a+", "a/b+/c", "##", "a/+b"])
def test_invalid_filters(topic_filter: str) -> None:
    assert not subscriptions.is_valid(topic_filter)


# -- outbox


class Wire:
    def __init__(self) -> None:
        self.backlog_bytes = 0
        self._sent = bytearray()

    def write(self, data: bytes) -> None:
        self._sent += data

    def take(self) -> list[Packet]:
        return list(wire.take_packets(self._sent))

    def published(self) -> list[wire.Publish]:
        return [wire.read_publish(packet) for packet in self.take() if packet.kind is PacketKind.PUBLISH]


def session() -> Session:
    kept = Session()
    kept.client_id = "n"
    return kept


def test_the_window_moves_with_each_acknowledgement() -> None:
    sender, line = Outbox(session()), Wire()
    sender.open(line)
    for number in range(outbox.WINDOW + 2):
        sender.send("t", b"%d" % number, 1)
    first = line.published()
    assert len(first) == outbox.WINDOW
    sender.acknowledged(first[3].packet_id, 1)
    assert [message.payload for message in line.published()] == [b"%d" % outbox.WINDOW]
    sender.acknowledged(first[3].packet_id, 1)  # once more: changes nothing
    assert line.published() == []


def test_a_new_connection_repeats_in_order_what_was_not_acknowledged() -> None:
    kept = session()
    sender, line = Outbox(kept), Wire()
    sender.open(line)
    for payload, qos in ((b"1", 1), (b"2", 2), (b"3", 2), (b"0", 0)):
        sender.send("t", payload, qos)
    ids = [message.packet_id for message in line.published()]
    sender.received(ids[1])
    sender.close()
    sender.send("t", b"4", 1)
    sender.send("t", b"lost: QoS 0 is not kept", 0)
    line.take()

    sender = Outbox(kept)
    sender.open(line)
    first, released, third, waited = line.take()
    assert wire.read_publish(first)[:6] == ("t", b"1", 1, False, True, ids[0])
    assert (released.kind, wire.read_packet_id(released)) == (PacketKind.PUBREL, ids[1])
    assert wire.read_publish(third)[:6] == ("t", b"3", 2, False, True, ids[2])
    assert wire.read_publish(waited)[:5] == ("t", b"4", 1, False, False)


def test_a_client_that_does_not_read_gets_no_qos_0() -> None:
    sender, line = Outbox(session()), Wire()
    sender.open(line)
    line.backlog_bytes = outbox.BACKLOG_MAX_BYTES + 1
    sender.send("t", b"x", 0)
    sender.send("t", b"y", 1)
    assert [message.payload for message in line.published()] == [b"y"]
    assert sender.dropped == 1


def test_what_waits_for_an_absent_client_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "WAITING_MAX", 3)
    sender, line = Outbox(session()), Wire()
    for number in range(5):
        sender.send("t", b"%d" % number, 1)
    sender.open(line)
    assert [message.payload for message in line.published()] == [b"0", b"1", b"2"]
    assert sender.dropped == 2
