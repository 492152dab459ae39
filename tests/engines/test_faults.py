"""Every kind of fault is really done on the wire and leaves its receipt; what heals is well again."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from dcompute_sim import trace as t
from dcompute_sim.run import RunOutcome
from dcompute_sim.scenario import KINDS

Run = Callable[..., RunOutcome]

# What each kind needs to have something to bite, and whether its nodes are well in the end.
FAULTS: dict[str, dict[str, Any]] = {
    "crash": {"restart_after": "5s"},
    "power_cut": {"restart_after": "25s"},
    "reboot": {},
    "hang": {"for": "25s"},
    "reset": {},
    "turned_away": {"for": "20s"},
    "wifi_drop": {"for": "25s"},
    "dead_link": {"for": "25s"},
    "slow_link": {"latency": "300ms", "for": "10s"},
    "ap_gone": {"for": "25s"},
    "flap": {"cycles": 5, "down": "1s", "up": "500ms"},
    "clone": {"for": "20s"},
    "stale_will": {},
    "leave": {"restart_after": "5s"},
    "restart": {},
    "stale_offline": {},
    "inject": {"topic": "{node}/status", "payload": "no json"},
    "malformed": {},
    "dead_connection": {},
    "wifi_stuck": {},
    "signal": {"rssi": {"hall": None, "yard": -60}, "for": "25s"},
    "broker_stop": {"for": "5s"},
    "broker_restart": {"memory": "lose"},
    "master_crash": {"restart_after": "3s"},
    "master_cut_off": {"for": "25s"},
    "disk_full": {"for": "5s"},
    "drain": {"restart_after": "5s"},
    "redelivery": {"for": "20s"},
    "forged_answers": {"for": "20s"},
}
WORDS = {
    "crash": "fin",
    "reset": "rst",
    "turned_away": "turned away",
    "slow_link": "slowed",
    "inject": "published",
    "malformed": "published",
    "stale_will": "published",
    "leave": "left",
    "restart": "left",
    "stale_offline": "published",
    "disk_full": "a write was refused",
    "drain": "left",
    "redelivery": "once more",
    "forged_answers": "other-life",
}


OF_EXECUTORS = ("disk_full", "forged_answers", "master_cut_off", "redelivery")  # whatever their nodes are


def scenario(kind: str, node_kind: str = "python") -> dict[str, Any]:
    """One fault amid tasks; fewer of them for boards, of which each is a process."""
    points = {"hall": {"channel": 1}, "yard": {"rssi": None, "channel": 11}} if kind == "signal" else None
    return {
        "phases": {"start": "6s", "storm": "30s", "quiet": "50s"},
        "fleet": {"n": {"count": 3, "keepalive": "6s", "kind": node_kind, "access_points": points}},
        "workload": [{"phase": "storm", "rate": "10/s" if node_kind == "python" else "4/s"}],
        "faults": [{"kind": kind, "phase": "storm", "at": "3s", **FAULTS[kind]}],
        "expect": ["no_false_deaths", "all_tasks_finished", "final_status"],
    }


def receipts(outcome: RunOutcome) -> list[str]:
    return [event.effect for event in outcome.trace if isinstance(event, t.FaultEffect)]


def test_every_kind_is_tested() -> None:
    elsewhere = {"update_attack", "station"}  # scenarios/update_attacks.yaml, test_stations.py
    assert set(FAULTS) == set(KINDS) - elsewhere


@pytest.mark.parametrize("kind", sorted(set(FAULTS) - {"wifi_stuck", "signal"}))
def test_python_nodes_in_virtual_time(run: Run, kind: str) -> None:
    outcome = run(scenario(kind))
    assert receipts(outcome), "the fault left nothing on the wire"
    assert outcome.verdict.exit_status == 0, [r.outcome for r in outcome.verdict.results]
    assert WORDS.get(kind, "") in " ".join(receipts(outcome))


@pytest.mark.parametrize("kind", sorted(set(FAULTS) - {"clone", "turned_away", "drain", *OF_EXECUTORS}))
def test_firmware_nodes_in_virtual_time(run: Run, kind: str) -> None:
    outcome = run(scenario(kind, "firmware"))
    assert receipts(outcome), "the fault left nothing on the wire"
    assert outcome.verdict.exit_status == 0, [r.outcome for r in outcome.verdict.results]


@pytest.mark.parametrize("other", [None, -70])
def test_a_board_whose_access_point_goes_away_joins_another_one_of_its_network(
    run: Run, other: int | None
) -> None:
    """Silent meanwhile, with what is in flight there; for as long as it lasts where there is no other."""
    keys = scenario("signal", "firmware")
    keys["fleet"]["n"] |= {"count": 1, "keepalive": "20s"}
    keys["fleet"]["n"]["access_points"]["yard"]["rssi"] = other
    keys["faults"] = [{"kind": "signal", "phase": "storm", "at": "3s", "rssi": {"hall": None}, "for": "40s"}]
    answered = [event.t_s for event in run(keys).trace if isinstance(event, t.ResultReceived)]
    away = [later - sooner for sooner, later in itertools.pairwise(answered)]
    fewest, most = (38, 60) if other is None else (6, 30)
    assert fewest < max(away) < most, max(away)


@pytest.mark.parametrize(("answer", "resets"), [("connack", False), ("suback", False), ("none", True)])
def test_a_board_that_is_turned_away_doubts_its_wifi_only_where_nobody_answers(
    run: Run, answer: str, resets: bool
) -> None:
    """A refused subscription is an answer, too: it once made a board reset its Wi-Fi again and again."""
    keys = scenario("turned_away", "firmware")
    keys["phases"]["storm"] = "120s"
    keys["fleet"]["n"]["count"] = 1
    keys["faults"][0] |= {"for": "100s", "answer": answer}
    outcome = run(keys)
    lines = [event.text for event in outcome.trace if isinstance(event, t.NodeOutput)]
    assert any("resetting the interface" in line for line in lines) is resets, lines
    assert outcome.verdict.exit_status == 0, [r.outcome for r in outcome.verdict.results]


def test_a_fault_that_finds_nobody_makes_the_run_inconclusive(run: Run) -> None:
    keys = scenario("crash")
    keys["faults"] = [{"kind": "crash", "phase": "storm", "at": "1s", "select": {"status": "never"}}]
    outcome = run(keys)
    assert outcome.verdict.exit_status == 2
    assert any(r.name == "fault_receipts" and "1 of 1" in r.outcome.summary for r in outcome.verdict.results)


@pytest.mark.parametrize("kind", ["python", "firmware"])
def test_of_a_dead_node_that_the_broker_forgot_nothing_is_believed(run: Run, kind: str) -> None:
    """Found by seed 11 of the swarm with firmware nodes: a board that was off still had its incarnation."""
    keys = scenario("crash", kind)
    keys["phases"] = {"start": "6s", "storm": "10s", "quiet": "10s"}
    keys["faults"] = [
        {"kind": "crash", "at": "7s", "select": {"names": ["n-1"]}},
        {"kind": "broker_restart", "at": "10s", "memory": "lose"},
    ]
    keys["expect"] = ["retained_consistent"]
    outcome = run(keys)
    assert [e.inc for e in outcome.trace if isinstance(e, t.FinalNode) and e.node == "n-1"] == [""]
    assert outcome.verdict.exit_status == 0, [r.outcome for r in outcome.verdict.results]


def test_overlapping_outages_end_with_the_last(run: Run) -> None:
    keys = scenario("crash")
    keys["faults"] = [
        {"kind": "broker_stop", "phase": "storm", "at": "2s", "for": "6s"},
        {"kind": "broker_restart", "phase": "storm", "at": "4s", "for": "8s"},
    ]
    outcome = run(keys)
    started = [event.t_s for event in outcome.trace if isinstance(event, t.BrokerStarted)]
    assert started == [0.0, pytest.approx(18.0)]
    assert outcome.verdict.exit_status == 0, [r.outcome for r in outcome.verdict.results]


def test_an_outage_that_begins_as_another_ends_is_told_after_it(run: Run) -> None:
    """Found by seed 5917 of the swarm: the broker was told to be up while it was down."""
    faults = [
        {"kind": "broker_stop", "at": "10s", "for": "5s"},
        {"kind": "broker_restart", "at": "15s", "for": "5s", "sure": True},
    ]
    trace = run({**scenario("crash"), "faults": faults}).trace
    told = [(type(e).__name__, e.t_s) for e in trace if isinstance(e, t.BrokerStopped | t.BrokerStarted)]
    stopped, started = "BrokerStopped", "BrokerStarted"
    assert told[1:] == [(stopped, 10), (started, 15), (stopped, told[3][1]), (started, told[4][1])]
    assert 15 <= told[3][1] < 16
    assert told[4][1] == told[3][1] + 5


def test_tasks_of_the_dead_go_to_the_living(run: Run) -> None:
    keys = scenario("crash")
    keys["faults"] = [{"kind": "crash", "phase": "storm", "at": "1s", "select": {"names": ["n-1"]}}]
    keys["workload"] = [{"phase": "storm", "tasks": 45}]
    outcome = run(keys)
    assert outcome.verdict.exit_status == 0, [r.outcome for r in outcome.verdict.results]
    doers = {event.node for event in outcome.trace if isinstance(event, t.ResultReceived)}
    assert doers == {"n-1", "n-2", "n-3"}


def test_by_the_bare_transport_they_are_lost_and_that_is_seen(run: Run) -> None:
    keys = scenario("crash")
    keys["faults"] = [{"kind": "crash", "phase": "storm", "at": "1s", "select": {"names": ["n-1"]}}]
    keys["workload"] = [{"phase": "storm", "tasks": 30, "via": "transport", "target": {"node": "n-1"}}]
    assert run(keys).verdict.exit_status == 1


def test_a_closed_loop_keeps_its_number_outstanding(run: Run) -> None:
    outcome = run(
        {
            "phases": {"start": "2s", "work": "20s", "quiet": "10s"},
            "fleet": {"n": {"count": 2, "keepalive": "10s", "work": "1s", "poll": "1ms"}},
            "workload": [{"phase": "work", "tasks": 20, "loop": {"closed": {"outstanding": 4}}}],
            "expect": ["all_tasks_finished"],
        }
    )
    unfinished = most = 0
    for event in outcome.trace:
        unfinished += isinstance(event, t.TaskSent) - isinstance(event, t.ResultReceived)
        most = max(most, unfinished)
    assert most == 4
    assert outcome.verdict.exit_status == 0


def test_a_fault_can_wait_for_an_event(run: Run) -> None:
    keys = scenario("crash")
    keys["faults"] = [
        {
            "kind": "crash",
            "when": {"event": "task_taken", "count": 7, "after": "10ms"},
            "select": {"same": True},
            "restart_after": "2s",
        }
    ]
    outcome = run(keys)
    taken = [event for event in outcome.trace if isinstance(event, t.TaskTaken)][6]
    crashed = next(event for event in outcome.trace if isinstance(event, t.NodeStopped))
    assert crashed.node == taken.node
    assert crashed.t_us == taken.t_us + 10_000
