"""priority_order, fifo_within_priority, all_tasks_finished, tasks_as_sent: counter-examples and limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from dcompute_sim import trace as t
from dcompute_sim.checks import CHECKS, CheckOutcome, Status

from .conftest import TraceBuilder, of_each


def judge(name: str, events: Sequence[t.Event], **parameters: Any) -> CheckOutcome:
    return CHECKS[name].model_validate(parameters).judge(events)


@pytest.fixture
def loaded(story: TraceBuilder) -> TraceBuilder:
    """A node with four tasks waiting."""
    story.define("n", "m").boot("n", "m")
    for task, priority in (("a", 1), ("b", 5), ("c", 5), ("d", 10)):
        story.send("n", task, priority)
    return story


def test_the_most_urgent_first_is_held(loaded: TraceBuilder) -> None:
    for task, priority in (("d", 10), ("b", 5), ("c", 5), ("a", 1)):
        loaded.take("n", task, priority)
    assert judge("priority_order", loaded.events).status is Status.HELD
    assert judge("fifo_within_priority", loaded.events).status is Status.HELD


def test_a_more_urgent_task_passed_over_fails_and_is_named(loaded: TraceBuilder) -> None:
    loaded.take("n", "b", 5)
    outcome = judge("priority_order", loaded.events)
    assert outcome.status is Status.FAILED
    assert of_each(outcome.offending, "task") == ["d", "b"]


def test_order_of_arrival_alone_fails(loaded: TraceBuilder) -> None:
    for task, priority in (("a", 1), ("b", 5), ("c", 5), ("d", 10)):
        loaded.take("n", task, priority)
    assert judge("priority_order", loaded.events).status is Status.FAILED


def test_a_task_of_another_node_does_not_count_as_waiting(loaded: TraceBuilder) -> None:
    loaded.send("m", "e", 1).take("m", "e", 1).take("n", "d", 10)
    assert judge("priority_order", loaded.events).status is Status.HELD


def test_a_task_that_arrives_later_was_not_passed_over(story: TraceBuilder) -> None:
    story.define("n").boot("n").send("n", "a", 1).send("n", "b", 2).take("n", "b", 2)
    story.send("n", "c", 10).take("n", "c", 10).take("n", "a", 1)
    assert judge("priority_order", story.events).status is Status.HELD


def test_without_a_choice_order_is_inconclusive(story: TraceBuilder) -> None:
    story.define("n").boot("n").send("n", "a", 1).take("n", "a", 1).send("n", "b", 9).take("n", "b", 9)
    assert judge("priority_order", story.events).status is Status.INCONCLUSIVE
    assert judge("fifo_within_priority", story.events).status is Status.INCONCLUSIVE


def test_a_boot_empties_the_queue(loaded: TraceBuilder) -> None:
    loaded.crash("n").boot("n", boot=2).send("n", "e", 1).send("n", "f", 2)
    loaded.take("n", "f", 2).take("n", "e", 1)
    assert judge("priority_order", loaded.events).status is Status.HELD


def test_a_take_of_what_never_came_fails(loaded: TraceBuilder) -> None:
    loaded.take("n", "ghost", 10)
    assert judge("priority_order", loaded.events).status is Status.FAILED
    assert judge("fifo_within_priority", loaded.events).status is Status.FAILED


def test_overtaking_among_equals_fails(loaded: TraceBuilder) -> None:
    loaded.take("n", "d", 10).take("n", "c", 5)
    outcome = judge("fifo_within_priority", loaded.events)
    assert outcome.status is Status.FAILED
    assert of_each(outcome.offending, "task") == ["b", "c"]
    assert judge("priority_order", loaded.events).status is Status.HELD


def test_a_task_without_result_fails_and_is_named(story: TraceBuilder) -> None:
    story.define("n").boot("n").send("n", "a").send("n", "b").work("n", "a")
    outcome = judge("all_tasks_finished", story.end())
    assert outcome.status is Status.FAILED
    assert of_each(outcome.offending, "task") == ["b"]


def test_a_result_by_another_node_finishes_the_task(story: TraceBuilder) -> None:
    story.define("n", "m").boot("n", "m").send("n", "a").crash("n").send("m", "a", attempt=2)
    story.work("m", "a", attempt=2)
    assert judge("all_tasks_finished", story.end()).status is Status.HELD


def test_an_interrupted_run_does_not_condemn_unfinished_tasks(story: TraceBuilder) -> None:
    story.define("n").boot("n").send("n", "a")
    assert judge("all_tasks_finished", story.end("interrupted")).status is Status.INCONCLUSIVE


def test_a_held_result_is_no_finished_task(story: TraceBuilder) -> None:
    story.define("n").boot("n").send("n", "a").take("n", "a").add(t.ResultHeld, node="n", task="a")
    assert judge("all_tasks_finished", story.end()).status is Status.FAILED


@pytest.mark.parametrize(("withdrawn", "status"), [(True, Status.HELD), (False, Status.FAILED)])
def test_what_was_recalled_may_come_again(story: TraceBuilder, withdrawn: bool, status: Status) -> None:
    """Found by a hunt: an executor recalls what has not begun for something urgent, and sends it anew."""
    story.define("n").boot("n").send("n", "a")
    if withdrawn:
        story.add(t.TaskWithdrawn, node="n", task="a")
    story.send("n", "a")
    assert judge("tasks_as_sent", story.end()).status is status


@pytest.mark.parametrize(("who", "status"), [("double", Status.HELD), ("n", Status.FAILED)])
def test_what_was_sent_to_one_connection_is_for_no_later_one_but_a_clones_ends_nothing(
    story: TraceBuilder, who: str, status: Status
) -> None:
    """Found by seed 3979 of the swarm: the clone connected while a stranger's task was on its way."""
    story.define("n").boot("n").clone_of("n")
    story.at(5).add(t.TaskFromOutside, who="probe", node="n", task="a", priority=5, attempt=1)
    story.at(6).add(t.NodeConnecting, node=who, inc="9.1")
    story.at(7).add(t.TaskReceived, node="n", task="a", priority=5)
    assert judge("tasks_as_sent", story.end()).status is status
