"""Executors with a fault of their own: what is said of work goes red on each, in a scenario that ships."""

from __future__ import annotations

import pytest
from dcompute_sim.checks import Status
from dcompute_sim.run import RunOptions, run_scenario
from dcompute_sim.scenario import find, load_all

CAUGHT = {
    # mutant: (scenario, check, seeds of which one at least shows it)
    "new-number-each-time": ("swarm", "done_once", range(1, 20)),
    "forgets-of-a-life": ("swarm", "done_once", range(1, 20)),
    "deaf-to-results": ("swarm", "done_once", range(1, 20)),
    "once-again": ("swarm", "done_once", range(30, 60)),  # few streams are to be run once
    "first-asked-first": ("turns", "fleet_priority", range(1, 2)),
    "last-asked-first": ("turns", "no_starvation", range(1, 2)),
    "one-for-all": ("turns", "no_starvation", range(1, 2)),
    "never-recalls": ("little_room", "fleet_priority", range(1, 2)),
}


@pytest.mark.parametrize("mutant", CAUGHT)
def test_a_faulty_executor_is_noticed(mutant: str) -> None:
    name, check, seeds = CAUGHT[mutant]
    (scenario,) = load_all(find(name))

    def fails(seed: int) -> bool:
        options = RunOptions(time="virtual", seed=seed, mutants=(mutant,))
        return check in {result.name for result in run_scenario(scenario, options).verdict.of(Status.FAILED)}

    assert any(map(fails, seeds))
