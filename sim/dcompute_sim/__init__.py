"""The testbed: scenarios, engines, brokers, nodes, checks and reports.

from dcompute_sim import run_scenario

outcome = run_scenario("scenarios/quickstart.yaml")
assert outcome.verdict.status == "held"
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcompute.parts import lazy

if TYPE_CHECKING:
    from dcompute_sim.run import RunOptions, RunOutcome, run_scenario
    from dcompute_sim.scenario import Scenario, ScenarioError, check, load

__all__ = ["RunOptions", "RunOutcome", "Scenario", "ScenarioError", "check", "load", "run_scenario"]

# pytest imports this package wherever it is installed
__getattr__ = lazy(
    globals(),
    {
        ".run": ("RunOptions", "RunOutcome", "run_scenario"),
        ".scenario": ("Scenario", "ScenarioError", "check", "load"),
    },
)
