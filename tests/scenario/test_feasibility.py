"""Links that a healthy node cannot keep its connection over are warned of, and others are not."""

from __future__ import annotations

from typing import Any

import pytest
from dcompute_sim import trace as t
from dcompute_sim.run import RunOptions, run_scenario
from dcompute_sim.scenario import Scenario
from dcompute_sim.scenario.explain import explain
from dcompute_sim.scenario.feasibility import warnings


def _scenario(**network: Any) -> Scenario:
    keepalive = network.pop("keepalive", "5s")
    group = {"count": 10, "keepalive": keepalive, "network": network}
    keys = {"version": 1, "name": "far", "duration": "120s", "fleet": {"n": group}}
    return Scenario.model_validate(keys)


@pytest.mark.parametrize(
    "network",
    [
        {"latency": "300ms", "loss": "30%"},
        {"latency": "300ms", "loss": "20%"},
        {"latency": "20ms", "loss": "30%"},
        {"latency": "300ms", "loss": "5%", "keepalive": "1s"},
    ],
)
def test_what_is_warned_of_happens(network: dict[str, Any]) -> None:
    scenario = _scenario(**network)
    [said] = warnings(scenario)
    assert "would do" in said
    trace = run_scenario(scenario, RunOptions(time="virtual")).trace
    assert any(isinstance(event, t.DeathReported) for event in trace)


@pytest.mark.parametrize(
    "network",
    [
        {},
        {"latency": "300ms"},
        {"latency": "300ms", "loss": "5%", "keepalive": "60s"},
        {"latency": "20ms", "loss": "1%"},
    ],
)
def test_what_is_not_warned_of_does_not(network: dict[str, Any]) -> None:
    scenario = _scenario(**network)
    assert not warnings(scenario)
    trace = run_scenario(scenario, RunOptions(time="virtual")).trace
    assert not any(isinstance(event, t.DeathReported) for event in trace)


def test_a_round_trip_longer_than_the_keepalive_is_hopeless() -> None:
    [said] = warnings(_scenario(latency="3s"))
    assert "a round trip takes 6s and the keepalive is 5s" in said


def test_explain_says_so() -> None:
    assert "n: about" in " ".join(explain(_scenario(latency="300ms", loss="30%")).split())
