"""Untested is undecided: a check that met no occasion says so, and says what was missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from dcompute_sim import trace as t
from dcompute_sim.checks import CHECKS, CheckOutcome, Status

from .conftest import TraceBuilder


def judge(name: str, events: Sequence[t.Event], **parameters: Any) -> CheckOutcome:
    return CHECKS[name].model_validate(parameters).judge(events)


def boards(story: TraceBuilder, *names: str) -> TraceBuilder:
    for name in names:
        story.add(t.NodeDefined, node=name, group="g", kind="firmware", keepalive_s=10.0)
    return story


def test_memory_of_a_board_that_never_booted_is_unknown(story: TraceBuilder) -> None:
    boards(story, "n1", "n2").boot("n1")
    story.at(10).add(t.NodeMemory, node="n1", allocated=1000, free=1000)
    outcome = judge("memory_below", story.events, limit="2KiB")
    assert outcome.status is Status.INCONCLUSIVE
    assert "n2 never told its memory" in outcome.summary
    assert judge("memory_below", story.events, limit="500B").status is Status.FAILED
    story.boot("n2").at(20).add(t.NodeMemory, node="n2", allocated=1000, free=1000)
    assert judge("memory_below", story.events, limit="2KiB").status is Status.HELD


def test_memory_of_python_nodes_is_not_waited_for(story: TraceBuilder) -> None:
    boards(story, "n1").define("py").boot("n1", "py")
    story.add(t.NodeMemory, node="n1", allocated=1000, free=1000)
    assert judge("memory_below", story.events, limit="2KiB").status is Status.HELD


def test_a_program_that_never_ran_logged_nothing(story: TraceBuilder) -> None:
    story.define("n1", "n2").boot("n1").at(60)
    outcome = judge("no_errors_in_log", story.events)
    assert outcome.status is Status.INCONCLUSIVE
    assert "n2 never ran" in outcome.summary
    assert judge("no_errors_in_log", story.boot("n2").events).status is Status.HELD
    story.add(t.LogLine, who="n1", level="error", text="no")
    assert judge("no_errors_in_log", story.events).status is Status.FAILED


@pytest.mark.parametrize(("watched_s", "status"), [(15.9, Status.INCONCLUSIVE), (16.1, Status.HELD)])
def test_who_was_not_connected_for_long_could_not_be_given_up(
    story: TraceBuilder, watched_s: float, status: Status
) -> None:
    """Keepalive 10 s, granularity 1 s: a broker that gives a healthy node up does so after 16 s."""
    story.define("n1", "n2").boot("n1").after(watched_s)
    assert judge("no_false_deaths", story.end()).status is status


def test_connections_that_never_last_are_no_occasion(story: TraceBuilder) -> None:
    story.define("n").boot("n")
    for _ in range(10):
        story.after(5).disconnect("n").connect("n")
    outcome = judge("no_false_deaths", story.end())
    assert outcome.status is Status.INCONCLUSIVE
    assert "1.5 keepalives" in outcome.summary


def test_a_report_is_an_occasion(story: TraceBuilder) -> None:
    story.define("n").boot("n").at(1).crash("n")
    assert judge("no_false_deaths", story.end()).status is Status.HELD
    story = TraceBuilder().master_up().define("n").boot("n")
    assert judge("no_false_deaths", story.at(1).death("n").end()).status is Status.FAILED


def test_an_idle_fleet_watched_over_three_keepalives_holds(story: TraceBuilder) -> None:
    names = [f"n{number}" for number in range(5)]
    story.define(*names).boot(*names).at(31)
    outcome = judge("no_false_deaths", story.end())
    assert outcome.status is Status.HELD
    assert outcome.figures["watched"] == 5
