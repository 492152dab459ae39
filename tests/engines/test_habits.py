"""Programs that are not ours, and every check that judges nodes: the truth of each is known beforehand.

Each program does its work, through a crash and a power cut that its next connection ends, and has one habit
that the bare protocol allows, or one fault of its own. What the wire and the master show of it decides; what
cannot be known is undecided, and said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from dcompute_sim.checks.check import Status
from dcompute_sim.run import RunOutcome

Run = Callable[..., RunOutcome]

HABITS = Path(__file__).parent / "foreign" / "habits"
HELD, FAILED, UNDECIDED = Status.HELD, Status.FAILED, Status.INCONCLUSIVE

ALL_IS_WELL: Mapping[str, Status] = {
    "no_false_deaths": HELD,
    "dead_within": HELD,
    "recovers_within": HELD,
    "callback_once": HELD,
    "status_history": HELD,
    "final_status": HELD,
    "retained_consistent": HELD,
    "connection_rate": HELD,
    "all_tasks_finished": HELD,
    "no_lost_tasks": HELD,
    "no_lost_results": HELD,
    "no_duplicate_results": HELD,
    "results_match": HELD,
    "latency": HELD,
    "master_api": HELD,
    "memory_below": HELD,
    "no_errors_in_log": HELD,
    # When a program takes a task from its queue cannot be seen from outside.
    "priority_order": UNDECIDED,
    "fifo_within_priority": UNDECIDED,
    "bounded_queue": UNDECIDED,
    "run_completed": HELD,
    "boards_took_part": HELD,
    "fault_receipts": HELD,
}
WORDS: Mapping[str, Mapping[str, str]] = {
    "the bare protocol": {
        "no_false_deaths": "1 crash, 1 power_cut, told at the next connection",
        "priority_order": "took a task is not known: only the wire is seen",
    },
    "results that name no task": {"all_tasks_finished": "results of n-1, n-2 name no task"},
    "never pings": {"no_false_deaths": "nothing was sent for 15 s at a keepalive of 10 s: no PINGREQ"},
    "says no status": {
        "final_status": "they connect, and say no status under a node's id (a group may say its `id`)"
    },
    "one client id for two": {"no_false_deaths": "n-2 connected under the same client id, `esp32`"},
}
PARAMETERS: Mapping[str, dict[str, Any]] = {
    "connection_rate": {"limit": 4},
    "latency": {"within": "10s"},
    "memory_below": {"limit": "100KiB"},
    "bounded_queue": {"limit": 5},
    "recovers_within": {"bound": "10s"},
}
OF_EVERY_RUN = ("run_completed", "boards_took_part", "fault_receipts")
OF_TASKS = (
    "all_tasks_finished",
    "no_lost_tasks",
    "no_lost_results",
    "no_duplicate_results",
    "results_match",
    "latency",
)


def scenario(habits: dict[str, Any]) -> dict[str, Any]:
    own_id = {"id": "{unique_id}"} if "BY_CHIP" in habits else {}
    return {
        "phases": {"start": "5s", "work": "30s", "quiet": "60s"},
        "fleet": {
            "n": {"kind": "firmware", "count": 2, "keepalive": "10s", "files": str(HABITS), "config": habits,
                  **own_id}
        },
        "workload": [
            {"phase": "work", "rate": "2/s", "tasks": 20, "answer": {"doubled": 2}, "target": "round_robin"}
        ],
        "faults": [
            {"kind": "crash", "phase": "work", "at": "12s", "restart_after": "5s",
             "select": {"names": ["n-1"]}},
            {"kind": "power_cut", "phase": "work", "at": "15s", "restart_after": "5s",
             "select": {"names": ["n-2"]}},
        ],
        "expect": [
            {name: PARAMETERS[name]} if name in PARAMETERS else name
            for name in ALL_IS_WELL
            if name not in OF_EVERY_RUN
        ],
    }  # fmt: skip


CASES: Mapping[str, tuple[dict[str, Any], Mapping[str, Status]]] = {
    "the bare protocol": ({}, {}),
    "results that name no task": ({"NAMES_TASK": False}, dict.fromkeys(OF_TASKS, UNDECIDED)),
    "a client id of its own": ({"CLIENT_PREFIX": "board-"}, {}),
    "an id of its chip, and other names": ({"BY_CHIP": True, "BROKER": "{MQTT_HOST}"}, {}),
    "a kept session": ({"KEEPS_SESSION": True}, {}),
    "retained results": ({"RETAINS_RESULTS": True}, {}),
    "QoS 0": ({"QOS": 0}, {}),
    "a keepalive of its own": ({"KEEPALIVE": 30}, {}),
    # Nobody has to notice its power cut. That its successor told of it in time proves nothing.
    "no keepalive": ({"KEEPALIVE": 0, "PINGS": False}, {"dead_within": UNDECIDED}),
    "never pings": ({"PINGS": False}, {"no_false_deaths": FAILED}),
    "says no status": (
        {"MUTE": True},
        dict.fromkeys(
            {*ALL_IS_WELL}
            - {"connection_rate", "memory_below", "no_errors_in_log"}
            - {"run_completed", "fault_receipts"},
            UNDECIDED,
        ),
    ),
    # Two boards with one config: they throw each other out, and all that follows is true. A crash meets none
    # that is connected.
    "one client id for two": (
        {"CLIENT_ID": "esp32"},
        {
            "no_false_deaths": FAILED,
            "fault_receipts": UNDECIDED,
            "final_status": FAILED,
            "recovers_within": FAILED,
            "retained_consistent": FAILED,
        },
    ),
}


def test_what_a_clone_says_is_not_its_doubles(run: Run) -> None:
    """Two programs without incarnations under one id: what each says is known by its own wire."""
    keys = scenario({})
    keys["faults"] = [{"kind": "clone", "phase": "work", "at": "5s", "for": "10s"}]
    found = {result.name: result.outcome for result in run(keys).verdict.results}
    assert found["status_history"].status is HELD, found["status_history"]


@pytest.mark.parametrize("case", CASES)
def test_the_truth_is_known_beforehand(run: Run, case: str) -> None:
    habits, differing = CASES[case]
    found = {result.name: result.outcome for result in run(scenario(habits)).verdict.results}
    told = {name: outcome.summary for name, outcome in found.items()}
    assert {name: outcome.status for name, outcome in found.items()} == {**ALL_IS_WELL, **differing}, told
    for check, said in WORDS.get(case, {}).items():
        assert said in told[check]
