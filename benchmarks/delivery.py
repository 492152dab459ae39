"""Delivery end to end, explored further than the tests do: how many states and walks, and what was found."""

from __future__ import annotations

import random
import time
from functools import partial
from typing import Any

from dcompute_sim.end_to_end.explore import explore, walk
from dcompute_sim.end_to_end.rules_off import RULES_OFF
from dcompute_sim.end_to_end.small_world import Bounds, SmallWorld

from benchmarks.figures import Figure

WITHIN_S = 60.0  # each

SMALL = (
    Bounds((("a", False), ("b", True)), nodes=2, losses=1, repeats=1, node_crashes=1, deaths=1),
    Bounds((("a", True), ("b", False)), asker_crashes=1, repeats=1, losses=1, outages=1, cancels=1),
    Bounds(
        (("a", True), ("b", False), ("u", False)),
        credit=1,
        asker_crashes=1,
        repeats=1,
        losses=1,
        urgent=("u",),
    ),
    Bounds(
        (("a", False), ("b", False), ("c", True)), askers=2, owners=(0, 1, 1), slots=1, repeats=1, losses=1
    ),
)
EIGHT = tuple((f"t{number}", number % 3 == 0) for number in range(8))
FAULTS: Any = dict.fromkeys(("node_crashes", "asker_crashes", "outages", "deaths", "cancels"), 3)
LARGE = Bounds(
    EIGHT,
    urgent=("t6", "t7"),
    askers=2,
    nodes=3,
    slots=1,
    queue=3,
    keep_bytes=300,
    losses=5,
    repeats=6,
    **FAULTS,
)


def measure() -> list[Figure]:
    """All figures."""
    states = transitions = violations = walks = 0
    for bounds in SMALL:
        found = explore(partial(SmallWorld, bounds), within_s=WITHIN_S)
        states, transitions = states + found.states, transitions + found.transitions
        violations += bool(found.violation)
        if found.violation:
            print(found.story())
    end_s = time.monotonic() + WITHIN_S
    while time.monotonic() < end_s:
        found = walk(lambda: SmallWorld(LARGE), random.Random(walks), 150)
        walks += 1
        violations += bool(found.violation)
        if found.violation:
            print(found.story())
    caught = sum(bool(explore(mutant.world, within_s=WITHIN_S).violation) for mutant in RULES_OFF.values())
    return [
        Figure("states of small worlds", states, "states"),
        Figure("transitions between them", transitions, "transitions"),
        Figure("random walks of 150 steps in a large one", walks, "walks"),
        Figure("violations", violations, "found", "at_most", 0),
        Figure(
            "rules switched off that were noticed", caught, f"of {len(RULES_OFF)}", "at_least", len(RULES_OFF)
        ),
    ]
