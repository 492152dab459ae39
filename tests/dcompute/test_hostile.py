"""A share of `python -m benchmarks hostile`: nothing raises, nobody else loses a connection or waits."""

from __future__ import annotations

import asyncio
import os

import pytest

from benchmarks import hostile, hostile_packets

SHARE = int(os.environ.get("DCOMPUTE_HOSTILE_SHARE", "200"))  # of a thousand and a hundred thousand, each


@pytest.mark.parametrize("kind", ["embedded", "mosquitto"])
def test_hostile_messages_harm_nobody(kind: str) -> None:
    found = asyncio.run(hostile.withstand_messages(kind, SHARE, with_board=False))
    assert (found.exceptions, found.reconnections, found.unserved) == (0, 0, 0)


@pytest.mark.parametrize("kind", ["embedded", "model", "mosquitto"])
def test_mutated_packets_harm_nobody(kind: str) -> None:
    found = asyncio.run(hostile.withstand_packets(kind, SHARE))
    assert (found.exceptions, found.reconnections, found.unserved) == (0, 0, 0)


@pytest.mark.parametrize(
    "who", [hostile_packets.mutate_clients, hostile_packets.mutate_model, hostile_packets.mutate_embedded]
)
def test_mutated_packets_raise_nothing(who: hostile_packets.Mutate) -> None:
    assert who(10 * SHARE) == 0


def test_mutated_packets_leave_a_board_as_it_is() -> None:
    found = hostile_packets.mutate_board(10 * SHARE)
    assert (found.raised, found.serves) == (0, True)
    assert found.grown_bytes < 4096
