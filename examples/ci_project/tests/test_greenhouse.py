"""Tests of the project itself, beside those that dcompute's plugin makes of `scenarios/*.yaml`."""

import trace as own_trace

import scenario as own_scenario
from dcompute_sim import Scenario
from faults import STUCK_WINDOW

import sim


def test_a_stuck_window_is_hot():
    assert sim.temperature(sun=1.0, **STUCK_WINDOW) > 35
    assert "dcompute's" in own_scenario.__doc__ + own_trace.__doc__


def test_a_fleet_as_large_as_ours(scenario):
    """`scenario` is the fixture of dcompute's plugin: it runs one, and fails when it does not hold."""
    fleet = {
        "version": 1,
        "name": "rows",
        "duration": "30s",
        "fleet": {"row": {"count": 12, "keepalive": "5s"}},
        "workload": [{"tasks": 24, "rate": "4/s", "at": "2s"}],
        "faults": [{"kind": "crash", "at": "10s", "restart_after": "5s"}],
        "expect": [{"dead_within": {"bound": "1s"}}, "all_tasks_finished"],
    }
    outcome = scenario(Scenario.model_validate(fleet))
    assert len(outcome.trace.events) > 100
