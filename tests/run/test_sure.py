"""A `sure` fault waits for somebody it can hit and lasts until it had an effect; others may never bite."""

from __future__ import annotations

from typing import Any

import pytest
from dcompute_sim import trace as t
from dcompute_sim.checks.check import Status
from dcompute_sim.run import run_scenario
from dcompute_sim.scenario import Scenario


def outcome_of(*faults: dict[str, Any], latency: str = "2ms") -> Any:
    scenario = {
        "version": 1,
        "name": "sure",
        "phases": {"storm": "60s", "quiet": "60s"},
        "network": {"latency": latency},
        "fleet": {"py": {"count": 1, "keepalive": "10s", "start": "1s"}},
        "faults": faults,
        "expect": ["final_status"],
    }
    return run_scenario(Scenario.model_validate(scenario))


@pytest.mark.parametrize("kind", ["wifi_drop", "dead_link", "ap_gone", "hang", "slow_link"])
def test_a_short_silence_of_an_idle_node_lasts_until_something_wanted_to_cross(kind: str) -> None:
    fault = {"kind": kind, "at": "12s", "for": "1s"}
    if kind == "slow_link":
        fault["latency"] = "300ms"
    assert outcome_of(fault).verdict.status is Status.INCONCLUSIVE
    sure = outcome_of({**fault, "sure": True})
    assert sure.verdict.status is Status.HELD
    ended = next(event for event in sure.trace if isinstance(event, t.FaultEnded))
    assert 14 < ended.t_s < 12 + 10 + 1  # a ping was due by then


@pytest.mark.parametrize("kind", ["crash", "power_cut", "reset"])
def test_a_fault_that_needs_a_connection_waits_for_one(kind: str) -> None:
    early = {"kind": kind, "at": "100ms"}
    assert outcome_of(early).verdict.status is Status.INCONCLUSIVE
    assert outcome_of({**early, "sure": True}).verdict.status is Status.HELD


@pytest.mark.parametrize("kind", ["crash", "power_cut", "reboot", "reset"])
def test_a_fault_can_end_a_connection_that_is_only_being_made(kind: str) -> None:
    """The broker has accepted it; the node does not know yet."""
    connecting = {"event": "node_connecting", "node": "py-1", "after": "1ms"}
    outcome = outcome_of(
        {"kind": kind, "when": connecting, "select": {"same": True}, "sure": True}, latency="1s"
    )
    assert outcome.verdict.status is Status.HELD
    (injected,) = (event for event in outcome.trace if isinstance(event, t.FaultInjected))
    connected = (event for event in outcome.trace if isinstance(event, t.NodeConnected))
    assert all(event.t_us > injected.t_us for event in connected)


def test_a_fault_whose_event_never_came_is_not_forgotten() -> None:
    never = {"event": "node_connected", "count": 3}
    assert outcome_of({"kind": "reset", "when": never}).verdict.status is Status.INCONCLUSIVE


def test_a_fault_does_not_strike_in_the_quiet_phase() -> None:
    back = {"kind": "power_cut", "at": "50s", "restart_after": "15s"}
    late = {"kind": "crash", "when": {"event": "node_connected", "count": 2}}
    outcome = outcome_of(back, late)
    injected = [event for event in outcome.trace if isinstance(event, t.FaultInjected)]
    assert [(event.kind, event.node) for event in injected] == [("power_cut", "py-1"), ("crash", "")]


def test_two_crashes_of_the_master_come_one_after_the_other() -> None:
    crash = {"kind": "master_crash", "at": "10s", "restart_after": "5s"}
    later = {**crash, "at": "11s"}
    assert outcome_of(crash, later).verdict.status is Status.INCONCLUSIVE
    assert outcome_of(crash, {**later, "sure": True}).verdict.status is Status.HELD


def test_a_sure_fault_that_never_finds_anybody_is_not_forgotten() -> None:
    """It gives up when the quiet time begins, and the run proves nothing."""
    gone = {"kind": "crash", "at": "10s"}
    outcome = outcome_of(gone, {"kind": "wifi_drop", "at": "20s", "for": "1s", "sure": True})
    assert outcome.verdict.status is Status.INCONCLUSIVE
    injected = [event for event in outcome.trace if isinstance(event, t.FaultInjected)]
    assert [(event.kind, event.node) for event in injected] == [("crash", "py-1"), ("wifi_drop", "")]
    assert injected[1].t_s >= 60
