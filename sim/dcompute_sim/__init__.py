"""The testbed: scenarios, engines, brokers, nodes, checks and reports.

from dcompute_sim import run_scenario

outcome = run_scenario("scenarios/quickstart.yaml")
assert outcome.verdict.status == "held"
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dcompute_sim.run import RunOptions, RunOutcome, run_scenario
    from dcompute_sim.scenario import Scenario, ScenarioError, check, load

__all__ = ["RunOptions", "RunOutcome", "Scenario", "ScenarioError", "check", "load", "run_scenario"]

_HOME = dict.fromkeys(("RunOutcome", "RunOptions", "run_scenario"), "dcompute_sim.run")


def __getattr__(name: str) -> Any:
    """Load it when asked for: pytest imports this package wherever it is installed.

    Not `dcompute.parts.lazy`: with that the library for YAML below would bring production code with it.
    """
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOME.get(name, "dcompute_sim.scenario")), name)
    globals()[name] = value
    return value
