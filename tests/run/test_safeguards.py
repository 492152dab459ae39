"""Every safeguard, switched off, is missed: some seed among 200 fails; with all on, none does.

Specimens of the museum (`sim.specimens`) have scenarios of their own, held by `tests/scenarios`.
"""

from __future__ import annotations

import pytest

from sim.campaign import Job, run_seed
from sim.checks.base import Status
from sim.run import RunOptions
from sim.sabotage import SAFEGUARDS
from sim.scenario import Scenario, find, load_all
from sim.specimens import SPECIMENS

SEEDS = range(1, 201)
SWITCHED_OFF = [name for name in SAFEGUARDS if name not in SPECIMENS]


def shipped(name: str) -> Scenario:
    return load_all(find(name), variants=SAFEGUARDS)[0]


def held_results() -> Scenario:
    """A task is finished while its node is off the Wi-Fi: its result waits, the work is not done twice."""
    return Scenario.model_validate(
        {
            "version": 1,
            "name": "held_results",
            "duration": "90s",
            "fleet": {"py": {"count": 1, "keepalive": "5s", "work": "20s", "poll": "0s"}},
            "workload": [{"tasks": 1, "at": "5s"}],
            "faults": [{"kind": "wifi_drop", "at": "10s", "for": "30s"}],
            # Back after 35 s, its pause between attempts (15 s at most) and some round trips; or 20 s later.
            "expect": [{"latency": {"within": "52s"}}],
        }
    )


SCENARIOS = {
    "ignore-incarnation": lambda: shipped("stale_will"),
    "no-self-repair": lambda: shipped("stale_will"),
    "no-held-results": held_results,
}
"""Where swarms do not show it: mishaps they cannot draw, and those that sending again makes good."""


@pytest.mark.parametrize("safeguard", SWITCHED_OFF)
def test_a_missing_safeguard_is_noticed(safeguard):
    scenario = SCENARIOS.get(safeguard, lambda: shipped("swarm"))()
    job = Job(scenario, RunOptions(time="virtual", sabotage=(safeguard,)))
    assert any(run_seed(job, seed).verdict.status is Status.FAILED for seed in SEEDS)


@pytest.mark.parametrize(
    ("scenario", "seeds"),
    [(shipped("swarm"), range(1, 201)), (shipped("stale_will"), range(1, 6)), (held_results(), range(1, 6))],
    ids=lambda value: getattr(value, "name", ""),
)
def test_with_all_safeguards_nothing_fails(scenario, seeds):
    job = Job(scenario, RunOptions(time="virtual"))
    results = [run_seed(job, seed) for seed in seeds]
    assert [r.seed for r in results if r.verdict.status is Status.FAILED] == []
    assert any(r.verdict.status is Status.HELD for r in results)
