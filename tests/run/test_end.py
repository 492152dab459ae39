"""How a run ends: what is retained and what everyone believes is written down of one moment."""

from __future__ import annotations

from dcompute_sim.checks.check import Status
from dcompute_sim.run import run_scenario
from dcompute_sim.scenario import Scenario


def test_a_node_that_comes_as_the_run_ends_is_the_same_to_everyone() -> None:
    """Seed 3311 of the swarm of boards: it was back between the reading of what is retained and the end."""
    scenario = {
        "version": 1,
        "name": "end",
        "duration": "5s",
        "fleet": {"early": {"count": 1}, "late": {"count": 1, "start": "4995ms"}},
        "expect": ["final_status", "retained_consistent"],
    }
    outcome = run_scenario(Scenario.model_validate(scenario))
    assert outcome.verdict.status is Status.HELD, outcome.verdict
