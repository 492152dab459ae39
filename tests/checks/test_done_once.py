"""done_once, fleet_priority, no_starvation: what breaks them, what does not, and what nobody can decide."""

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
def fleet(story: TraceBuilder) -> TraceBuilder:
    """Two nodes and an executor."""
    return story.define("n", "m").boot("n", "m").executor()


# --- done_once ----------------------------------------------------------------------------------------------


def test_work_done_again_in_another_life_is_counted_and_named(fleet: TraceBuilder) -> None:
    fleet.ask("a").place("n", "a").take("n", "a").add(t.ExecutionBegan, node="n", task="a", life=1)
    fleet.crash("n").boot("n", boot=2).place("n", "a", attempt=2).run("n", "a", attempt=2, life=2)
    outcome = judge("done_once", fleet.end())
    assert outcome.status is Status.HELD
    assert outcome.figures["run_again"] == 1
    assert "run again (a)" in outcome.summary


def test_the_same_with_once_fails(fleet: TraceBuilder) -> None:
    fleet.ask("a", once=True).place("n", "a").add(t.ExecutionBegan, node="n", task="a", life=1)
    fleet.crash("n").place("m", "a", attempt=2).run("m", "a", attempt=2)
    outcome = judge("done_once", fleet.end())
    assert outcome.status is Status.FAILED
    assert "run again although they were to run once" in outcome.summary


def test_what_failed_may_be_tried_again_where_it_was(fleet: TraceBuilder) -> None:
    fleet.ask("a").place("n", "a").add(t.ExecutionBegan, node="n", task="a")
    fleet.add(t.TaskFinished, node="n", task="a", ok=False).run("n", "a", attempt=2)
    assert judge("done_once", fleet.end()).status is Status.HELD
    fleet = TraceBuilder().master_up().define("n").boot("n").executor().ask("a")
    fleet.add(t.ExecutionBegan, node="n", task="a").add(t.TaskFinished, node="n", task="a")
    assert judge("done_once", fleet.run("n", "a", attempt=2).end()).status is Status.FAILED


@pytest.mark.parametrize(("attempt", "status"), [(2, Status.HELD), (1, Status.FAILED)])
def test_an_older_node_does_another_attempt_of_what_it_has_done(
    story: TraceBuilder, attempt: int, status: Status
) -> None:
    """It can repeat no answer that got lost. The same attempt it knows as a repeat."""
    story.add(t.NodeDefined, node="n", group="g", kind="python", keepalive_s=10.0, older=True)
    story.boot("n").executor().ask("a").place("n", "a").run("n", "a", asker="somebody gone")
    story.place("n", "a", attempt=attempt).run("n", "a", attempt=attempt)
    told = [event for event in story.end() if getattr(event, "asker", "x") in ("x", "")]
    outcome = judge("done_once", told)
    assert outcome.status is status
    assert status is Status.FAILED or "1 of 1 excused: another attempt at an older node" in outcome.summary


@pytest.mark.parametrize(("attempt", "status"), [(1, Status.HELD), (2, Status.FAILED)])
def test_what_a_node_had_no_room_to_keep_may_run_there_again(
    fleet: TraceBuilder, attempt: int, status: Status
) -> None:
    """Found by seed 53 of the swarm of boards. Of an attempt that never ran nothing can be forgotten."""
    fleet.ask("a").place("n", "a").add(t.ExecutionBegan, node="n", task="a", life=1)
    fleet.add(t.ResultForgotten, node="n", task="a", attempt=attempt).place("n", "a", attempt=3)
    assert judge("done_once", fleet.run("n", "a", attempt=3).end()).status is status


@pytest.mark.parametrize(
    ("attempt", "thrown_out", "status"),
    [
        pytest.param(2, True, Status.HELD, id="another attempt, as another life to its asker"),
        pytest.param(1, True, Status.FAILED, id="the same attempt"),
        pytest.param(2, False, Status.FAILED, id="neither threw the other out meanwhile"),
    ],
)
def test_a_clone_excuses_no_more_than_it_brings_about(
    fleet: TraceBuilder, attempt: int, thrown_out: bool, status: Status
) -> None:
    double = fleet.clone_of("n")
    if not thrown_out:
        fleet.add(t.NodeConnecting, node=double, inc="2.1")
    fleet.at(5).ask("a").place("n", "a").add(t.ExecutionBegan, node="n", task="a", life=1)
    if thrown_out:
        fleet.at(6).add(t.NodeConnecting, node=double, inc="2.1")
    fleet.at(7).place("n", "a", attempt=attempt).run("n", "a", attempt=attempt)
    outcome = judge("done_once", fleet.end())
    assert outcome.status is status
    assert ("1 of 1 excused: another attempt beside a clone" in outcome.summary) is (status is Status.HELD)


@pytest.mark.parametrize(("outcome", "status"), [("forgotten", Status.HELD), ("result", Status.FAILED)])
def test_what_went_with_the_journal_is_forgotten(fleet: TraceBuilder, outcome: str, status: Status) -> None:
    fleet.ask("a").place("n", "a").run("n", "a").ask("b").add(t.ExecutorStopped, asker="x", how="crash")
    fleet.executor(boot=2, journal="lost").add(t.TaskSettled, asker="x", task="b", outcome=outcome)
    assert judge("done_once", fleet.end()).status is status


def test_an_asker_that_never_comes_back_is_owed_nothing(fleet: TraceBuilder) -> None:
    fleet.ask("a").place("n", "a").run("n", "a").ask("b").add(t.ExecutorStopped, asker="x", how="crash")
    assert judge("done_once", fleet.end()).status is Status.HELD


@pytest.mark.parametrize(("reason", "status"), [("finished", "failed"), ("interrupted", "inconclusive")])
def test_what_nobody_was_told_of_fails_unless_the_run_was_cut_short(
    fleet: TraceBuilder, reason: str, status: str
) -> None:
    assert judge("done_once", fleet.ask("a").end(reason)).status == status


def test_without_an_executor_nothing_can_be_said(story: TraceBuilder) -> None:
    story.define("n").boot("n").send("n", "a").work("n", "a")
    for name in ("done_once", "fleet_priority", "no_starvation"):
        assert judge(name, story.end()).status is Status.INCONCLUSIVE, name


def test_programs_that_are_not_ours_keep_no_ledger(story: TraceBuilder) -> None:
    story.add(t.NodeDefined, node="n", group="g", kind="firmware", keepalive_s=10.0, foreign=True).boot("n")
    story.executor().ask("a").place("n", "a").add(t.TaskSettled, asker="x", task="a", outcome="result")
    assert judge("done_once", story.end()).status is Status.HELD


# --- fleet_priority -----------------------------------------------------------------------------------------


def begin(story: TraceBuilder, node: str, task: str) -> TraceBuilder:
    return story.add(t.ExecutionBegan, node=node, task=task)


def test_an_urgent_task_left_at_its_asker_fails_and_is_named(fleet: TraceBuilder) -> None:
    fleet.ask("a", 1).ask("b", 1).ask("u", 9).at(5).place("n", "a", 1)
    begin(fleet, "n", "a")
    outcome = judge("fleet_priority", fleet.end())
    assert outcome.status is Status.FAILED
    assert of_each(outcome.offending, "task") == ["u", "a"]


def test_what_it_could_not_run_on_does_not_pass_it(fleet: TraceBuilder) -> None:
    fleet.ask("a", 1).ask("u", 9, node="m").ask("v", 9, group="other").at(5).place("n", "a", 1)
    assert judge("fleet_priority", begin(fleet, "n", "a").end()).status is Status.HELD


def test_a_message_takes_its_time(fleet: TraceBuilder) -> None:
    fleet.ask("a", 1).at(5).ask("u", 9).after(0.1)
    begin(fleet.place("n", "a", 1), "n", "a")
    assert judge("fleet_priority", fleet.end(), within="1s").status is Status.HELD
    assert judge("fleet_priority", fleet.end(), within="50ms").status is Status.FAILED


def test_an_asker_without_a_broker_can_send_nothing(fleet: TraceBuilder) -> None:
    fleet.ask("a", 1).place("n", "a", 1).add(t.ExecutorDisconnected, asker="x", reason="fin").ask("u", 9)
    begin(fleet.at(5), "n", "a")
    assert judge("fleet_priority", fleet.end()).status is Status.HELD


@pytest.mark.parametrize(("healed_s", "status"), [(None, "held"), (4.8, "held"), (3.0, "failed")])
def test_whom_nothing_can_reach_works_off_what_it_has(
    fleet: TraceBuilder, healed_s: float | None, status: str
) -> None:
    fleet.ask("a", 1).place("n", "a", 1).ask("b", 1).ask("u", 9)
    fleet.add(t.FaultInjected, fault="drop-1", kind="wifi_drop", node="n")
    if healed_s is not None:
        fleet.at(healed_s).add(t.FaultEnded, fault="drop-1", node="n")
    assert judge("fleet_priority", begin(fleet.at(5), "n", "a").end()).status == status


def test_what_was_sent_is_in_the_hands_of_its_node(fleet: TraceBuilder) -> None:
    fleet.ask("a", 1).ask("u", 9).place("m", "u", 9).place("n", "a", 1).at(5)
    assert judge("fleet_priority", begin(fleet, "n", "a").end()).status is Status.HELD


# --- no_starvation ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("priority", "starved"), [(5, 1), (9, 0)])
def test_passed_over_by_what_came_later(fleet: TraceBuilder, priority: int, starved: int) -> None:
    fleet.ask("a").after(1).ask("later", priority).place("n", "later")
    for busy in ("n", "m"):
        begin(fleet, busy, f"of somebody who is not asked {busy}")
    begin(fleet.at(40), "n", "later")
    outcome = judge("no_starvation", fleet.add(t.TaskSettled, asker="x", task="a", outcome="expired").end())
    assert outcome.figures["starved"] == starved, outcome.summary


def test_crowded_out_by_another_executor(fleet: TraceBuilder) -> None:
    fleet.executor("y").ask("a").ask("theirs", asker="y").ask("later", asker="y")
    for at_s, task in ((1, "theirs"), (40, "later")):
        begin(fleet.at(at_s).place("n", task), "n", task)
        fleet.add(t.TaskFinished, node="n", task=task)
    outcome = judge("no_starvation", fleet.end())
    assert outcome.status is Status.FAILED
    assert "1 crowded out" in outcome.summary


def test_some_of_its_work_in_between_is_a_turn(fleet: TraceBuilder) -> None:
    fleet.executor("y").ask("mine").ask("a").ask("theirs", asker="y").ask("later", asker="y")
    for at_s, task in ((1, "theirs"), (20, "mine"), (40, "later"), (41, "a")):
        begin(fleet.at(at_s).place("n", task).place("m", task), "n", task)
        begin(fleet, "m", f"of somebody who is not asked {task}")
    assert judge("no_starvation", fleet.end()).status is Status.HELD


def test_what_is_more_urgent_may_go_first(fleet: TraceBuilder) -> None:
    fleet.ask("a", 1).ask("b", 1)
    for number in range(4):
        fleet.at(20 * number + 1).ask(f"u{number}", 9).after(0.5).place("n", f"u{number}", 9)
        begin(fleet, "n", f"u{number}")
        begin(fleet, "m", f"of somebody who is not asked {number}")
    assert judge("no_starvation", fleet.end()).status is Status.HELD


def test_nodes_that_came_late_or_went_were_not_idle(fleet: TraceBuilder) -> None:
    fleet.ask("a").at(10).crash("n").at(12).crash("m").at(50).boot("n", boot=2).after(1).place("n", "a")
    assert judge("no_starvation", fleet.end()).status is Status.HELD
    late = TraceBuilder().master_up().define("n").boot("n").executor().ask("a").at(31).place("n", "a")
    assert judge("no_starvation", late.end()).status is Status.FAILED


# --- suspects_alone, never, results_match, no_starvation -------------------------------------------------


@pytest.mark.parametrize(("other", "status"), [("n", Status.FAILED), ("m", Status.HELD)])
def test_a_task_that_killed_two_nodes_has_the_next_for_itself(
    fleet: TraceBuilder, other: str, status: Status
) -> None:
    fleet.ask("poison").ask("other")
    for life in (1, 2):
        fleet.place("n", "poison", attempt=life).add(t.ExecutionBegan, node="n", task="poison", life=life)
        fleet.crash("n").boot("n", boot=life + 1)
    fleet.place(other, "other").place("n", "poison", attempt=3)
    assert judge("suspects_alone", fleet.end()).status is status


@pytest.mark.parametrize(("more_than", "status"), [(2, Status.HELD), (1, Status.FAILED)])
def test_never_more_than_so_often(fleet: TraceBuilder, more_than: int, status: Status) -> None:
    events = fleet.ask("a").place("n", "a").place("n", "a").end()
    where = {"task": "a*"}
    assert judge("never", events, event="task_sent", where=where, more_than=more_than).status is status


@pytest.mark.parametrize(("why", "status"), [("Oh: no", Status.HELD), ("Error: None", Status.FAILED)])
def test_who_is_told_of_a_failure_is_told_why(fleet: TraceBuilder, why: str, status: Status) -> None:
    fleet.ask("a").place("n", "a").add(t.TaskFinished, node="n", task="a", ok=False, meant=True, why="Oh: no")
    said = {"answer": "failed", "value": "failed", "ok": False, "asker": "x", "why": why, "traced": why}
    fleet.add(t.ResultTaken, node="n", task="a", **said)
    assert judge("results_match", fleet.end()).status is status


def test_what_was_given_back_waits_where_it_was_asked_for(fleet: TraceBuilder) -> None:
    """Later ones of its priority must not be done before it."""
    fleet.ask("a").place("n", "a").ask("b").add(t.TaskWithdrawn, node="n", task="a")
    fleet.after(20).place("n", "b").run("n", "b")
    assert judge("no_starvation", fleet.end(), within="10s").status is Status.FAILED
