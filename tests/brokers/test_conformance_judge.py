"""The pure parts of the conformance suite: its judgements, and its packets."""

from __future__ import annotations

import io

import pytest
from dcompute_sim.brokers.conformance import (
    PROPERTIES,
    PropertyOutcome,
    Row,
    judge,
    print_table,
    select,
    wire,
)
from dcompute_sim.brokers.conformance.judge import DEAD, READY_NEW, READY_OLD
from dcompute_sim.brokers.conformance.wire import Malformed, Packet, PacketKind
from dcompute_sim.brokers.real_broker import BrokerError
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console


@pytest.mark.parametrize(
    ("delays_s", "word"),
    [
        ([3.0, 3.1, 9.9], None),
        ([3.1, None], "1 of 2 silent clients"),
        ([2.9, 3.5], "before 1.5"),
    ],
)
def test_silence(delays_s: list[float | None], word: str | None) -> None:
    wrong = judge.silence(delays_s, keepalive_s=2, lateness_bound_s=7.0)
    assert wrong is None if word is None else word in str(wrong)


def test_lateness_in_words() -> None:
    assert judge.lateness([3.5, 8.0, None], 2) == "1.5 x keepalive + 0.5 to 5.0 s, 2 of 3 tries"


@pytest.mark.parametrize(
    ("seen", "clean", "kept"),
    [
        ([READY_OLD, DEAD, READY_NEW], None, None),
        ([READY_OLD, READY_NEW], "not published", None),
        ([READY_OLD, READY_NEW, DEAD], "after the successor's", "after the successor's"),
        ([READY_OLD, DEAD, READY_NEW, DEAD], "came twice", "came twice"),
        ([READY_OLD, DEAD], "got lost", "got lost"),
        ([], "saw nothing", "saw nothing"),
    ],
)
def test_takeover(seen: list[bytes], clean: str | None, kept: str | None) -> None:
    for required, word in ((True, clean), (False, kept)):
        wrong = judge.takeover(seen, will_required=required)
        assert wrong is None if word is None else word in str(wrong)


def test_in_order_once_counts_what_went_wrong() -> None:
    assert judge.in_order_once(judge.numbered(3), 3) is None
    assert judge.in_order_once([b"0", b"2", b"2", b"1", b"?"], 4) == (
        "1 of 4 missing (first: 3), 1 repeated, 1 time out of order, 1 that were never sent"
    )


@given(st.permutations(range(6)), st.integers(0, 6))
def test_in_order_once_accepts_only_the_one_order(order: list[int], count: int) -> None:
    got = [b"%d" % number for number in order[:count]]
    assert (judge.in_order_once(got, 6) is None) == (got == judge.numbered(6))


@given(
    st.text(min_size=1, max_size=200),
    st.binary(max_size=20_000),
    st.integers(0, 2),
    st.booleans(),
    st.booleans(),
    st.integers(1, 65_535),
    st.integers(1, 50),
)
def test_packets_survive_any_splitting(
    topic: str, payload: bytes, qos: int, retain: bool, dup: bool, packet_id: int, step: int
) -> None:
    data = wire.publish(topic, payload, qos=qos, retain=retain, dup=dup, packet_id=packet_id)
    stream = data + wire.encode(PacketKind.PINGREQ) + data
    buffer = bytearray()
    packets: list[Packet] = []
    step = max(step, len(stream) // 100)
    for start in range(0, len(stream), step):
        buffer += stream[start : start + step]
        packets += wire.take_packets(buffer)
    assert not buffer
    assert packets[1] == Packet(PacketKind.PINGREQ, 0, b"")
    for packet in (packets[0], packets[2]):
        expected = wire.Publish(topic, payload, qos, retain, dup, packet_id if qos else 0)
        assert wire.read_publish(packet) == expected


@given(st.binary(max_size=64))
def test_any_bytes_are_packets_or_malformed(data: bytes) -> None:
    try:
        for packet in wire.take_packets(bytearray(data)):
            if packet.kind is PacketKind.PUBLISH:
                wire.read_publish(packet)
            elif packet.kind is PacketKind.PUBACK:
                wire.read_packet_id(packet)
    except Malformed:
        pass


def test_names_are_unique_and_selected_in_order() -> None:
    names = [each.name for each in PROPERTIES]
    assert len(set(names)) == len(names)
    assert [each.name for each in select(["will-on-fin", "will-on-reset"])] == [
        "will-on-reset",
        "will-on-fin",
    ]
    assert select(None) == list(PROPERTIES)
    with pytest.raises(BrokerError, match="no such row: will; there are: will-on-reset"):
        select(["will"])


def test_the_table_shows_figure_and_reason() -> None:
    console = Console(width=120, record=True, file=io.StringIO())
    rows = [
        Row("one", PropertyOutcome.PASSED, "1 ms"),
        Row("two", PropertyOutcome.FAILED, "2 ms", "too slow [MQTT-1.2.3-4]"),
        Row("three", PropertyOutcome.NOT_APPLICABLE, detail="no password given"),
    ]
    print_table(rows, console)
    text = console.export_text()
    assert "2 ms; too slow [MQTT-1.2.3-4]" in text
    assert "no password given" in text
    assert "1 passed, 1 failed, 1 not applicable" in text
