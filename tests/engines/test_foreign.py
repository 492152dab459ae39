"""Firmware that is not ours is judged by the same expectations, from what crosses its wire."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from dcompute_sim import trace as t
from dcompute_sim.checks.check import Status
from dcompute_sim.run import RunOutcome

Run = Callable[..., RunOutcome]

BARE = Path(__file__).parent / "foreign" / "bare_umqtt"


def scenario(files: Path | None, keepalive: str) -> dict[str, Any]:
    given = {"files": str(files)} if files else {}
    return {
        "phases": {"start": "4s", "work": "6s", "idle": "60s", "quiet": "5s"},
        "fleet": {"esp": {"kind": "firmware", "count": 2, "keepalive": keepalive, **given}},
        "workload": [{"phase": "work", "rate": "4/s", "tasks": 20, "priority": "1..10"}],
        "expect": ["no_false_deaths", "all_tasks_finished", "final_status", "wire_protocol"],
    }


def verdicts(outcome: RunOutcome) -> dict[str, Status]:
    return {result.name: result.outcome.status for result in outcome.verdict.results}


def test_idle_firmware_that_never_pings_is_found_out(run: Run) -> None:
    bare = verdicts(run(scenario(BARE, "10s")))
    assert bare["all_tasks_finished"] is Status.HELD
    assert bare["no_false_deaths"] is Status.FAILED
    ours = verdicts(run(scenario(None, "10s")))
    assert set(ours.values()) == {Status.HELD}


def test_what_its_wire_tells(run: Run) -> None:
    outcome = run(scenario(BARE, "300s"))
    found = verdicts(outcome)
    assert found.pop("no_false_deaths") is Status.INCONCLUSIVE  # nobody could be given up within 75 s
    assert set(found.values()) == {Status.HELD}
    received = [event for event in outcome.trace if isinstance(event, t.TaskReceived)]
    held = [event for event in outcome.trace if isinstance(event, t.ResultHeld)]
    got = {event.task: event.digest for event in outcome.trace if isinstance(event, t.ResultReceived)}
    assert len(received) == 20
    assert {event.task: event.digest for event in held} == got
