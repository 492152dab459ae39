"""Delivery end to end, as docs/protocol.md has it: the real cores in every order, and each rule switched
off."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from dcompute_sim.end_to_end.explore import Found, explore, walk
from dcompute_sim.end_to_end.rules_off import RULES_OFF
from dcompute_sim.end_to_end.small_world import Bounds, SmallWorld
from hypothesis import given, settings
from hypothesis import strategies as st

MOST = 4_000  # transitions; the whole of these worlds and larger ones: python -m benchmarks delivery

A, B, C = ("a", False), ("b", False), ("c", False)
U = ("u", False)
ONCE, ONCE_TOO = ("a", True), ("d", True)

WORLDS = {
    "one task, all that links do": Bounds((A,), losses=2, repeats=2, outages=2),
    "a node that crashes": Bounds((A, ONCE_TOO), node_crashes=1, repeats=1, outages=1),
    "an asker that crashes": Bounds((A, B), credit=1, asker_crashes=2, repeats=1),
    "once, on two nodes": Bounds((ONCE, B), nodes=2, deaths=1, node_crashes=1, losses=1),
    "cancelled meanwhile": Bounds((ONCE, B), cancels=2, repeats=1, losses=1),
    "something more urgent comes": Bounds(
        (ONCE, B, U), credit=1, nodes=2, losses=1, repeats=1, urgent=("u",)
    ),
    "two askers for one slot": Bounds((A, B, C), owners=(0, 1, 1), askers=2, slots=1, repeats=1, outages=1),
    "no room in the queue": Bounds((A, ONCE_TOO, B), nodes=2, queue=1, repeats=1),
    "results too large to keep": Bounds((A, ONCE_TOO), nodes=2, keep_bytes=10, outages=1, losses=1),
}

SEVEN = (A, ONCE_TOO, B, ("e", True), C, U, ("v", True))
FAULTS: Any = dict.fromkeys(("node_crashes", "asker_crashes", "outages", "deaths", "cancels"), 2)
CONTENDED = Bounds(
    SEVEN, urgent=("u", "v"), askers=2, nodes=2, slots=1, queue=2, losses=3, repeats=4, **FAULTS
)
LARGE = (CONTENDED, replace(CONTENDED, askers=1, nodes=3, slots=2, queue=4, keep_bytes=250))


def is_sound(found: Found) -> None:
    assert not found.violation, found.story()


@pytest.mark.parametrize("name", WORLDS)
def test_nothing_is_lost_or_done_twice_in_any_order(name: str) -> None:
    found = explore(lambda: SmallWorld(WORLDS[name]), most=MOST)
    is_sound(found)
    assert found.complete or found.transitions >= MOST


@pytest.mark.parametrize("name", RULES_OFF)
def test_a_rule_that_is_off_is_noticed(name: str) -> None:
    assert explore(RULES_OFF[name].world, most=2 * MOST).violation
    is_sound(explore(RULES_OFF[name].healthy, most=MOST // 4))


@given(st.sampled_from(LARGE), st.integers(0, 2**32))
@settings(max_examples=300, deadline=None)
def test_nothing_is_lost_or_done_twice_at_random(bounds: Bounds, seed: int) -> None:
    is_sound(walk(lambda: SmallWorld(bounds), random.Random(seed)))
