"""Where MQTT packets end, whatever their length and wherever they are cut."""

from __future__ import annotations

import pytest
from dcompute_sim.brokers.conformance import wire
from dcompute_sim.net.mqtt_frames import frame_at
from hypothesis import given
from hypothesis import strategies as st


@given(st.lists(st.sampled_from((0, 1, 126, 127, 128, 300, 16_383, 16_384)), min_size=1, max_size=4))
def test_packets_of_any_length_are_found_one_after_the_other(sizes: list[int]) -> None:
    """The encoder is the conformance suite's, which shares nothing with the decoder."""
    bodies = [bytes(size) for size in sizes]
    stream = b"".join(wire.encode(wire.PacketKind.PUBLISH, body) for body in bodies)
    at = 0
    for body in bodies:
        frame = frame_at(stream, at)
        assert frame is not None
        assert stream[slice(*frame)] == body
        at = frame[1]
    assert at == len(stream)
    assert frame_at(stream, at) is None


@pytest.mark.parametrize("size", [0, 127, 128, 2_097_152])
def test_a_header_that_is_cut_says_nothing_yet_and_a_whole_one_how_much_is_to_come(size: int) -> None:
    packet = wire.encode(wire.PacketKind.PUBLISH, bytes(size))
    head = len(packet) - size
    assert [frame_at(packet[:cut]) for cut in range(head)] == [None] * head
    assert frame_at(packet[:head]) == (head, len(packet))


def test_a_length_of_five_bytes_is_no_mqtt() -> None:
    with pytest.raises(ValueError, match="more than 4 bytes"):
        frame_at(b"\x30\xff\xff\xff\xff\x01")
