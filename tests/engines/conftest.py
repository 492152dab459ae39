"""Scenarios built in code, run on either engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from dcompute_sim.run import RunOptions, RunOutcome, run_scenario
from dcompute_sim.scenario import Scenario, check

Run = Callable[..., RunOutcome]


@pytest.fixture
def run() -> Run:
    """`run({scenario keys}, time=..., broker=..., mutants=...)`: the outcome of a small scenario."""

    def run(keys: dict[str, Any], **options: Any) -> RunOutcome:
        scenario = Scenario.model_validate({"version": 1, "name": "test", **keys})
        check(scenario)
        return run_scenario(scenario, RunOptions(**{"time": "virtual", **options}))

    return run
