"""Firmware that is not ours is judged by the same expectations, from what crosses its wire."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sim import trace as t
from sim.checks.base import Status
from sim.run import Outcome

Run = Callable[..., Outcome]

BARE = Path(__file__).parent / "specimens" / "bare_umqtt"


def scenario(files: Path | None, keepalive: str) -> dict[str, Any]:
    given = {"files": str(files)} if files else {}
    return {
        "phases": {"start": "4s", "work": "6s", "idle": "60s", "quiet": "5s"},
        "fleet": {"esp": {"kind": "firmware", "count": 2, "keepalive": keepalive, **given}},
        "workload": [{"phase": "work", "rate": "4/s", "tasks": 20, "priority": "1..10"}],
        "expect": ["no_false_deaths", "all_tasks_finished", "final_status"],
    }


def verdicts(outcome: Outcome) -> dict[str, Status]:
    return {result.name: result.outcome.status for result in outcome.verdict.results}


def test_idle_firmware_that_never_pings_is_found_out(run: Run) -> None:
    bare = verdicts(run(scenario(BARE, "10s")))
    assert bare["all_tasks_finished"] is Status.HELD
    assert bare["no_false_deaths"] is Status.FAILED
    ours = verdicts(run(scenario(None, "10s")))
    assert set(ours.values()) == {Status.HELD}


def test_what_its_wire_tells(run: Run) -> None:
    outcome = run(scenario(BARE, "300s"))
    assert set(verdicts(outcome).values()) == {Status.HELD}
    received = [event for event in outcome.trace if isinstance(event, t.TaskReceived)]
    held = [event for event in outcome.trace if isinstance(event, t.ResultHeld)]
    got = {event.task: event.digest for event in outcome.trace if isinstance(event, t.ResultReceived)}
    assert len(received) == 20
    assert {event.task: event.digest for event in held} == got


def test_the_same_in_real_time(run: Run) -> None:
    keys = scenario(BARE, "4s")
    keys["phases"] = {"start": "2s", "work": "2s", "idle": "9s", "quiet": "1s"}
    keys["workload"] = [{"phase": "work", "tasks": 8}]
    found = verdicts(run(keys, time="real"))
    assert found["all_tasks_finished"] is Status.HELD
    assert found["no_false_deaths"] is Status.FAILED


def test_a_dead_link_answers_nobody_in_any_time(run: Run) -> None:
    """In real time the proxy's own kernel would complete the connection."""
    dials = Path(__file__).parent / "specimens" / "dials"
    keys = {
        "phases": {"start": "1s", "work": "3s", "quiet": "1s"},
        "fleet": {"esp": {"kind": "firmware", "count": 1, "keepalive": "10s", "files": str(dials)}},
        "faults": [{"kind": "dead_link", "phase": "work", "at": "0s", "for": "3s"}],
        "expect": ["no_false_deaths"],
    }
    for time in ("real", "virtual"):
        outcome = run(keys, time=time)
        said = [event.text.split()[0] for event in outcome.trace if isinstance(event, t.NodeOutput)]
        changes = [word for word, before in zip(said, ["", *said], strict=False) if word != before]
        assert changes[-2:] == ["silence", "answered"], (time, said)
        assert changes.count("silence") == 1, (time, said)
