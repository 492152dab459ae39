"""Of each of these mutants some seed among 200 of the swarm fails; without any, none does.

The others have scenarios of their own, the field faults (`tests/scenarios`).
"""

from __future__ import annotations

import pytest
from dcompute_sim.campaign import Job, run_seed
from dcompute_sim.checks import Status
from dcompute_sim.run import RunOptions
from dcompute_sim.scenario import Scenario, find, load_all

SEEDS = range(1, 201)
CAUGHT = {
    "no-will": 1,
    "no-held-results": 1,
    "no-ping": 1,
    "fifo-queue": 1,
    "no-self-repair": 50,
    "ignore-incarnation": 1,
    "no-liveness": 70,
}
"""The seed from which it is looked for: those before the first that fails need not be run each time."""


def shipped(name: str) -> Scenario:
    return load_all(find(name))[0]


def some_seed_fails(scenario: Scenario, mutant: str, seeds: range) -> bool:
    job = Job(scenario, RunOptions(time="virtual", mutants=(mutant,)))
    return any(run_seed(job, seed).verdict.status is Status.FAILED for seed in seeds)


@pytest.mark.parametrize("mutant", CAUGHT)
def test_a_mutant_is_noticed(mutant: str) -> None:
    assert some_seed_fails(shipped("swarm"), mutant, SEEDS[SEEDS.index(CAUGHT[mutant]) :])


@pytest.mark.parametrize("mutant", ["ignore-incarnation", "no-self-repair"])
def test_a_stale_will_shows_what_it_is_about(mutant: str) -> None:
    assert some_seed_fails(shipped("stale_will"), mutant, range(1, 6))


@pytest.mark.parametrize(
    ("scenario", "seeds"),
    [(shipped("swarm"), SEEDS), (shipped("stale_will"), range(1, 6))],
    ids=["swarm", "stale_will"],
)
def test_without_a_mutant_nothing_fails(scenario: Scenario, seeds: range) -> None:
    job = Job(scenario, RunOptions(time="virtual"))
    results = [run_seed(job, seed) for seed in seeds]
    assert [r.seed for r in results if r.verdict.status is Status.FAILED] == []
    assert any(r.verdict.status is Status.HELD for r in results)
