"""What had no result when the run ended: lost, or somebody was still going on with it."""

from __future__ import annotations

import pytest
from dcompute_sim import trace as t
from dcompute_sim.checks import CHECKS, CheckOutcome, Status

from .conftest import TraceBuilder


def judged(story: TraceBuilder) -> CheckOutcome:
    return CHECKS["no_lost_tasks"]().judge(story.end())


@pytest.fixture
def fleet(story: TraceBuilder) -> TraceBuilder:
    return story.define("n", "m").boot("n", "m").executor()


def sent(story: TraceBuilder, task: str, at_s: float) -> TraceBuilder:
    """By the executor; and nothing more is heard of it."""
    return story.at(at_s).add(t.TaskSent, node="n", task=task, priority=5, attempt=1, size=20, asker="x")


@pytest.mark.parametrize(
    ("times_s", "end_s", "status"),
    [
        ((10,), 13, Status.INCONCLUSIVE),
        ((10,), 30, Status.FAILED),  # after 15 s it had to be sent again
        ((10, 25), 50, Status.INCONCLUSIVE),  # then after 30 s
        ((10, 25), 60, Status.FAILED),
        (
            (10, 13),
            30,
            Status.FAILED,
        ),  # a new connection: no more patience for that
    ],
)
def test_an_executor_is_given_the_time_after_which_it_sends_again(
    fleet: TraceBuilder, times_s: tuple[float, ...], end_s: float, status: Status
) -> None:
    fleet.ask("a")
    for at_s in times_s:
        sent(fleet, "a", at_s)
    outcome = judged(fleet.at(end_s))
    assert outcome.status is status, outcome.summary
    assert ("under way when the run ended" in outcome.summary) is (status is Status.INCONCLUSIVE)


def test_an_executor_without_a_broker_goes_on_when_it_is_back(fleet: TraceBuilder) -> None:
    sent(fleet.ask("a"), "a", 10).at(12).add(t.ExecutorDisconnected, asker="x", reason="reset").at(100)
    outcome = judged(fleet)
    assert outcome.status is Status.INCONCLUSIVE
    assert "no broker" in outcome.summary


def test_what_is_at_work_at_the_end_is_not_lost(story: TraceBuilder) -> None:
    story.define("n").boot("n").send("n", "a").send("n", "b").take("n", "a").status("n", "busy").at(100)
    outcome = judged(story)
    assert outcome.status is Status.INCONCLUSIVE
    assert "2 at work or in the queue at n" in outcome.summary


def test_a_node_that_does_nothing_beside_a_task_has_forgotten_it(story: TraceBuilder) -> None:
    story.define("n").boot("n").send("n", "a").take("n", "a").status("n", "busy").status("n", "ready")
    assert judged(story.at(100)).status is Status.FAILED


def test_so_has_one_that_was_started_since(story: TraceBuilder) -> None:
    story.define("n").boot("n").send("n", "a").take("n", "a").status("n", "busy")
    story.crash("n", report_s=None).boot("n", boot=2).status("n", "busy")
    assert judged(story.at(100)).status is Status.FAILED


def test_what_a_busy_node_dropped_is_lost(story: TraceBuilder) -> None:
    story.define("n").boot("n").send("n", "a").take("n", "a").status("n", "busy").send("n", "b")
    story.add(t.TaskDropped, node="n", task="b", reason="queue full").at(100)
    outcome = judged(story)
    assert outcome.status is Status.FAILED
    assert (outcome.figures["lost"], outcome.figures["under_way"]) == (1, 1)
    assert [event.task for event in outcome.offending if isinstance(event, t.TaskSent)] == ["b"]


@pytest.mark.parametrize(("end_s", "status"), [(29, Status.INCONCLUSIVE), (31, Status.FAILED)])
def test_without_an_executor_it_may_take_twice_the_longest(
    story: TraceBuilder, end_s: float, status: Status
) -> None:
    story.define("n").boot("n").at(5).send("n", "a").at(10).work("n", "a")
    story.at(20).add(t.TaskSent, node="n", task="b", priority=5, attempt=1, size=20)
    assert judged(story.at(end_s)).status is status
