"""Every safeguard, switched off, is missed: some seed among 200 fails; with all on, none does.

Specimens of the museum (`dcompute_sim.specimens`) have scenarios of their own, held by `tests/scenarios`.
"""

from __future__ import annotations

import pytest
from dcompute_sim.campaign import Job, run_seed
from dcompute_sim.checks.check import Status
from dcompute_sim.run import RunOptions
from dcompute_sim.sabotage import SAFEGUARDS
from dcompute_sim.scenario import Scenario, find, load_all
from dcompute_sim.specimens import SPECIMENS

SEEDS = range(1, 201)
SWITCHED_OFF = [name for name in SAFEGUARDS if name not in SPECIMENS]


def shipped(name: str) -> Scenario:
    return load_all(find(name), variants=SAFEGUARDS)[0]


def some_seed_fails(scenario: Scenario, safeguard: str, seeds: range) -> bool:
    job = Job(scenario, RunOptions(time="virtual", sabotage=(safeguard,)))
    return any(run_seed(job, seed).verdict.status is Status.FAILED for seed in seeds)


@pytest.mark.parametrize("safeguard", SWITCHED_OFF)
def test_a_missing_safeguard_is_noticed(safeguard: str) -> None:
    assert some_seed_fails(shipped("swarm"), safeguard, SEEDS)


@pytest.mark.parametrize("safeguard", ["ignore-incarnation", "no-self-repair"])
def test_a_stale_will_shows_what_it_is_about(safeguard: str) -> None:
    assert some_seed_fails(shipped("stale_will"), safeguard, range(1, 6))


@pytest.mark.parametrize(
    ("scenario", "seeds"),
    [(shipped("swarm"), SEEDS), (shipped("stale_will"), range(1, 6))],
    ids=lambda value: getattr(value, "name", ""),
)
def test_with_all_safeguards_nothing_fails(scenario: Scenario, seeds: range) -> None:
    job = Job(scenario, RunOptions(time="virtual"))
    results = [run_seed(job, seed) for seed in seeds]
    assert [r.seed for r in results if r.verdict.status is Status.FAILED] == []
    assert any(r.verdict.status is Status.HELD for r in results)
