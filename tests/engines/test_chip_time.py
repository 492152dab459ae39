"""Faults that need time to pass on the chip: red as a firmware group comes, unseen on a chip without time."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dcompute_sim import trace as t
from dcompute_sim.checks.check import Status
from dcompute_sim.run import RunOutcome

Run = Callable[..., RunOutcome]
FOREIGN = Path(__file__).parent / "foreign"


def outcome_of(
    run: Run, program: str, expect: str, group: dict[str, Any], stream: dict[str, Any]
) -> RunOutcome:
    return run(
        {
            "phases": {"start": "8s", "work": "40s", "quiet": "30s"},
            "fleet": {
                "n": {"kind": "firmware", "keepalive": "10s", "files": str(FOREIGN / program), **group}
            },
            "workload": [{"phase": "work", "via": "transport", **stream}],
            "expect": [expect],
        }
    )


@pytest.mark.parametrize(("timing", "status"), [(None, Status.FAILED), ("none", Status.HELD)])
def test_two_readers_steal_each_others_bytes(run: Run, timing: str | None, status: Status) -> None:
    """The port lets go of its lock between two reads of one packet; a chip without time never does."""
    group = {"count": 2, **({"timing": timing} if timing else {})}
    stream = {"rate": "40/s", "tasks": 200, "target": "round_robin"}
    outcome = outcome_of(run, "two_readers", "all_tasks_finished", group, stream)
    assert outcome.verdict.results[0].outcome.status is status


@pytest.mark.parametrize(("timing", "deaths"), [(None, 1), ("esp32-s3", 0), ("none", 0)])
def test_computing_starves_the_keepalive(run: Run, timing: str | None, deaths: int) -> None:
    """A million turns of a loop take an ESP32 longer than its keepalive and a half; the faster S3 not."""
    group = {"config": {"TURNS": 900_000}, **({"timing": timing} if timing else {})}
    outcome = outcome_of(run, "computes", "no_false_deaths", group, {"tasks": 1})
    died = [event for event in outcome.trace.events if isinstance(event, t.DeathReported)]
    assert len(died) == deaths
    assert outcome.verdict.results[0].outcome.status is (Status.FAILED if deaths else Status.HELD)


@pytest.mark.parametrize("timing", ["esp32", "esp32-allocations"])
def test_a_report_says_when_its_digest_is_that_of_one_width_of_words(run: Run, timing: str) -> None:
    fleet = {"n": {"kind": "firmware", "timing": timing}}
    outcome = run(
        {"duration": "9s", "fleet": fleet, "workload": [{"tasks": 2}], "expect": ["all_tasks_finished"]}
    )
    assert outcome.verdict.status is Status.HELD
    started = next(event for event in outcome.trace.events if isinstance(event, t.RunStarted))
    words = re.search(r"\d\d bit", started.emulator)
    assert words is not None
    told = f"; what they allocate takes time: a digest of {words[0]} only"
    assert started.emulator.endswith(told) is (timing == "esp32-allocations")
