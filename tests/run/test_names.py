"""What somebody is does not hang on how a name is spelled: any group name that the schema allows is safe."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from dcompute_sim import trace as t
from dcompute_sim.checks import Status
from dcompute_sim.run import RunOptions, run_scenario
from dcompute_sim.scenario import Scenario

NAMES = [
    "plain",
    "master",
    "master-1",
    "auditor",
    "broker",
    "probe",
    "inject",  # the fault's name is inject-1, as is the node's
    "stranger-inject",
    "inject-1-probe",
    "clone",
    "node",
    "esp-1",
]


def scenario(group: str, faults: list[dict[str, Any]], time: str = "virtual") -> Scenario:
    keys: dict[str, Any] = {
        "version": 1,
        "name": "names",
        "duration": "40s" if time == "virtual" else "7s",
        "time": time,
        "fleet": {group: {"count": 2, "keepalive": "10s"}},
        "workload": [{"at": "1s", "tasks": 4, "rate": "2/s"}],
        "faults": faults,
        "expect": [
            "no_false_deaths",
            "all_tasks_finished",
            "retained_consistent",
            {"final_status": {"status": "ready"}},
            {"connection_rate": {"limit": 12}},
            "results_match",
        ],
    }
    return Scenario.model_validate(keys)


EVERYBODY: list[dict[str, Any]] = [
    {"kind": "inject", "at": "5s", "topic": "nowhere", "payload": {"a": 1}},
    {"kind": "inject", "at": "6s", "topic": "nowhere", "payload": {"a": 2}},
    {"kind": "stale_will", "at": "9s"},
    {"kind": "clone", "at": "12s", "for": "2s"},
    {"kind": "master_crash", "at": "20s", "restart_after": "1s"},
    {"kind": "wifi_drop", "at": "25s", "for": "2s"},
]


@pytest.mark.parametrize("name", NAMES)
def test_the_verdict_does_not_hang_on_a_groups_name(name: str) -> None:
    outcome = run_scenario(scenario(name, EVERYBODY))
    found = {r.name: r.outcome.summary for r in outcome.verdict.results}
    assert [r.name for r in outcome.verdict.of(Status.FAILED)] == [], found


def test_whatever_the_name_the_run_is_the_same_but_for_it() -> None:
    """All names as long as each other: a payload's size is the time it takes."""
    runs = [
        run_scenario(scenario(name, EVERYBODY[:2])).trace.events for name in ("plain12", "auditor", "probe12")
    ]
    assert [len(events) for events in runs] == [len(runs[0])] * 3


def test_links_of_any_group_can_be_broken_in_real_time() -> None:
    """Three runs side by side: one in real time mostly waits."""
    faults: list[dict[str, Any]] = [
        {"kind": "inject", "at": "1s", "topic": "nowhere", "payload": {"a": 1}},
        {"kind": "reset", "at": "2s"},
    ]
    runs = [scenario(name, faults, time="real") for name in ("stranger-inject", "auditor", "master")]
    with ThreadPoolExecutor() as pool:
        outcomes = list(pool.map(lambda each: run_scenario(each, RunOptions(broker="model")), runs))
    for outcome in outcomes:
        found = {r.name: r.outcome.summary for r in outcome.verdict.results}
        assert outcome.verdict.status is Status.HELD, found


def test_a_trace_says_who_takes_part() -> None:
    events = run_scenario(scenario("plain", EVERYBODY)).trace.events
    who = t.Participants(events)
    roles = {who.role(e.node) for e in events if isinstance(e, t.WireOpened)}
    assert roles == {t.Role.NODE, t.Role.CLONE, t.Role.PROBE, t.Role.MASTER, t.Role.AUDITOR}
    clones = [e for e in events if isinstance(e, t.ParticipantDefined) and e.role is t.Role.CLONE]
    assert [who.owner(clone.name) for clone in clones] == [clone.node for clone in clones] != []
