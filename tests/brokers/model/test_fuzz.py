"""Any bytes, cut anywhere: never an exception, never another client's harm; and cuts change nothing."""

from __future__ import annotations

import itertools
import random

import pytest
from dcompute_sim.brokers.conformance import wire
from dcompute_sim.brokers.conformance.wire import ClientWill, PacketKind
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conftest import Bench

_settings = settings(
    derandomize=True,
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

_topic = st.sampled_from(("t", "t/u", "v"))
_id = st.integers(1, 5)
_packet = st.one_of(
    st.builds(
        wire.publish,
        _topic,
        st.binary(max_size=200),
        qos=st.integers(0, 2),
        retain=st.booleans(),
        packet_id=_id,
    ),
    st.builds(
        wire.subscribe,
        _id,
        st.lists(
            st.tuples(st.sampled_from(("t", "#", "t/+", "v")), st.integers(0, 2)), min_size=1, max_size=3
        ),
    ),
    st.builds(wire.unsubscribe, _id, st.lists(_topic, min_size=1, max_size=2)),
    st.builds(
        wire.acknowledgement,
        st.sampled_from((PacketKind.PUBACK, PacketKind.PUBREC, PacketKind.PUBREL, PacketKind.PUBCOMP)),
        _id,
    ),
    st.just(wire.encode(PacketKind.PINGREQ)),
)
_stream = st.lists(_packet, max_size=12).map(
    lambda packets: wire.connect("a", clean=False) + b"".join(packets)
)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[begin:end] for begin, end in itertools.pairwise(edges)]


def outcome(bench: Bench, chunks: list[bytes]) -> tuple[bytes, bool, bytes, bytes]:
    """All that can be seen of a connection that sent these chunks."""
    bench.configure(inflight_window=2, queue_limit=3)
    watcher = bench.client("watcher").subscribe("#", qos=1)
    peer = bench.open().send(*chunks)
    return bytes(peer.unread), peer.closed, bytes(watcher.unread), bench.broker.snapshot()


@_settings
@given(_stream, st.lists(st.integers(0, 5000), max_size=8))
def test_cuts_change_nothing(bench: Bench, stream: bytes, places: list[int]) -> None:
    whole = outcome(bench, [stream])
    assert outcome(bench, cut(stream, places)) == whole
    assert outcome(bench, [bytes([byte]) for byte in stream]) == whole


@_settings
@given(_stream, st.data())
def test_damaged_streams_harm_nobody(bench: Bench, stream: bytes, data: st.DataObject) -> None:
    damaged = bytearray(stream)
    for _ in range(data.draw(st.integers(0, 4))):
        where = data.draw(st.integers(0, len(damaged) - 1))
        damaged[where] = data.draw(st.integers(0, 255))
    chunks = cut(bytes(damaged), data.draw(st.lists(st.integers(0, 5000), max_size=5)))
    assert_harmless(bench, chunks)
    assert outcome(bench, chunks)[:2] == outcome(bench, [bytes([byte]) for byte in damaged])[:2]


@_settings
@given(st.lists(st.binary(max_size=60), max_size=6), st.booleans())
def test_any_bytes_harm_nobody(bench: Bench, chunks: list[bytes], logged_in: bool) -> None:
    assert_harmless(bench, [wire.connect("a")] * logged_in + chunks)


def assert_harmless(bench: Bench, chunks: list[bytes]) -> None:
    bench.configure(inflight_window=2, queue_limit=3)
    bystander = bench.client("bystander", will=ClientWill("will", b"dead")).subscribe("safe/only")
    offender = bench.open().send(*chunks)
    offender.lose()
    if not bystander.closed:  # else the offender logged in under its very name, which is its right
        bench.client("p").publish("safe/only", "still here")
        lines = [
            line for line in bystander.got() if not line.startswith("PUBLISH safe/only") or "still" in line
        ]
        assert lines == ["PUBLISH safe/only still here"]


def test_a_large_packet_in_small_pieces_takes_linear_time(bench: Bench) -> None:
    """A megabyte in a quarter of a million pieces: joined once, not each time."""
    peer = bench.client("a").subscribe("t")
    packet = wire.publish("t", b"x" * (1 << 20))
    for begin in range(0, len(packet), 4):
        peer.send(packet[begin : begin + 4])
    assert len(peer.got()) == 1


@pytest.mark.parametrize("seed", range(20))
def test_noise(bench: Bench, seed: int) -> None:
    noise = random.Random(seed)
    for _ in range(100):
        begin = noise.choice((b"", wire.connect("a"), wire.connect("a") + wire.subscribe(1, [("#", 2)])))
        assert_harmless(bench, [begin, noise.randbytes(noise.randrange(40))])
