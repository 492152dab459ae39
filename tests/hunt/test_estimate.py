"""The chance of anything new: the share of runs that show what no other does, and about right."""

from __future__ import annotations

import random

import pytest
from dcompute_sim.hunt.estimate import Estimate
from dcompute_sim.hunt.features import Feature
from hypothesis import given
from hypothesis import strategies as st

shows = st.frozensets(st.integers(0, 12), max_size=5)


def as_features(numbers: frozenset[int]) -> list[Feature]:
    return [("step", str(number)) for number in sorted(numbers)]


@given(st.lists(shows, min_size=1, max_size=30))
def test_it_is_the_share_of_runs_that_show_what_no_other_does(runs: list[frozenset[int]]) -> None:
    estimate = Estimate()
    for number, run in enumerate(runs):
        estimate.fresh(number, as_features(run))
    alone = [
        bool(run - frozenset().union(*(other for at, other in enumerate(runs) if at != number)))
        for number, run in enumerate(runs)
    ]
    assert estimate.of_fresh == sum(alone) / len(runs)


@given(st.lists(st.tuples(shows, st.lists(st.tuples(st.integers(0, 9), shows), max_size=4)), min_size=1))
def test_what_was_bred_of_a_run_is_no_other_run(
    story: list[tuple[frozenset[int], list[tuple[int, frozenset[int]]]]],
) -> None:
    """Recounted over families: a feature is a fresh run's own if all that show it come of that run."""
    estimate = Estimate()
    shown: list[tuple[frozenset[int], frozenset[int]]] = []
    fresh: dict[int, frozenset[int]] = {}
    for number, (run, bred) in enumerate(story):
        estimate.fresh(number, as_features(run))
        fresh[number] = run
        shown.append((frozenset({number}), run))
        for parent, what in bred:
            families = frozenset({parent % (number + 1), number})
            estimate.bred(families, as_features(what))
            shown.append((families, what))
    own = 0
    for number, run in fresh.items():
        elsewhere = frozenset().union(*(what for families, what in shown if number not in families))
        own += bool(run - elsewhere)
    assert estimate.of_fresh == own / len(fresh)


def test_it_is_about_the_share_of_news_in_the_runs_that_follow() -> None:
    rng = random.Random(7)
    weights = [1 / (1 + kind) ** 1.3 for kind in range(3000)]
    draws = [frozenset(rng.choices(range(3000), weights, k=8)) for _ in range(1400)]
    estimate = Estimate()
    for number, run in enumerate(draws[:1000]):
        estimate.fresh(number, as_features(run))
    seen = frozenset().union(*draws[:1000])
    came = sum(bool(run - seen) for run in draws[1000:]) / 400  # each beside the same thousand
    assert estimate.of_fresh == pytest.approx(came, abs=0.05)
    assert 0.2 < came < 0.8  # or the test would show nothing


def test_bred_runs_are_judged_by_the_last_of_them() -> None:
    estimate = Estimate()
    estimate.fresh(1, [("step", "a")])
    for number in range(400):
        assert (estimate.of_bred, estimate.chance) == (None, None)  # too few to know
        estimate.bred(frozenset({1}), [("step", str(number))] if number < 100 else [])
    assert estimate.of_bred == 0.25
    assert estimate.of_fresh == 1.0
    assert estimate.chance == 0.625


def test_what_an_earlier_hunt_showed_is_no_news() -> None:
    estimate = Estimate()
    estimate.fresh(1, [("step", "a")])
    estimate.given([("step", "a"), ("step", "b")])
    estimate.fresh(2, [("step", "b")])
    assert estimate.of_fresh == 0.0
