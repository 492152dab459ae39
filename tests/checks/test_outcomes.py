"""The other checks: their excuses and limits, parameters, and what an outcome carries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pydantic
import pytest
from dcompute_sim import trace as t
from dcompute_sim.checks import CHECKS, Check, CheckOutcome, Measurement, Status
from dcompute_sim.checks.check import MAX_OFFENDING, window

from .conftest import TraceBuilder


def judge(name: str, events: Sequence[t.Event], **parameters: Any) -> CheckOutcome:
    return CHECKS[name].model_validate(parameters).judge(events)


def test_offending_events_are_bounded(story: TraceBuilder) -> None:
    story.define("n").boot("n")
    for number in range(MAX_OFFENDING + 30):
        story.send("n", f"t{number}")
    outcome = judge("all_tasks_finished", story.end())
    assert len(outcome.offending) == MAX_OFFENDING
    assert outcome.figures["sent"] == MAX_OFFENDING + 30


@pytest.mark.parametrize(
    ("names_none", "bound_to", "expected"),
    [
        ("n", "", Status.INCONCLUSIVE),  # the executor waits for an answer that may have come
        ("n", "n", Status.INCONCLUSIVE),
        ("n", "m", Status.FAILED),  # nothing kept it from being sent
        ("m", "", Status.FAILED),  # what n was given has no answer
        ("", "", Status.FAILED),
    ],
)
def test_what_waits_behind_results_that_name_no_task_is_undecided(
    story: TraceBuilder, names_none: str, bound_to: str, expected: Status
) -> None:
    story.define("n", "m").boot("n", "m").executor()
    story.ask("first").place("n", "first").ask("second", node=bound_to)
    if names_none:
        story.after(0.1).add(t.ResultReceived, node=names_none, task="", digest="d")
    assert judge("all_tasks_finished", story.end()).status is expected


@pytest.mark.parametrize(
    ("connected", "known", "expected"),
    [
        (True, "ready", Status.FAILED),
        (True, "busy", Status.FAILED),
        (False, "ready", Status.INCONCLUSIVE),  # the broker was down, say
        (True, "dead", Status.INCONCLUSIVE),
        (True, "", Status.INCONCLUSIVE),
    ],
)
def test_an_executor_that_sends_nothing_is_no_matter_of_chance(
    story: TraceBuilder, connected: bool, known: str, expected: Status
) -> None:
    """It was asked, somebody was there, and nothing was sent: undecided would let it off."""
    story.define("n").boot("n").executor().ask("first")
    story.add(t.FinalNode, node="n", running=True, connected=connected, own_status="ready",
              master_status=known, inc="1.1")  # fmt: skip
    outcome = judge("all_tasks_finished", story.end())
    assert outcome.status is expected
    assert ("with nobody there to do any" in outcome.summary) is (expected is Status.INCONCLUSIVE)


def test_a_window_shows_the_same_node_and_the_run_but_not_others(healthy: list[t.Event]) -> None:
    death = next(e for e in healthy if isinstance(e, t.DeathReported) and e.node == "n3")
    around = window(healthy, death, before=3, after=2)
    assert death in around
    assert {getattr(e, "node", "") for e in around} <= {"n3", ""}
    assert [e.t_us for e in around] == sorted(e.t_us for e in around)
    assert len(around) == 6


@pytest.mark.parametrize(("percent", "expected"), [(50, 2.0), (75, 3.0), (76, 4.0), (100, 4.0), (1, 1.0)])
def test_percentiles_by_nearest_rank(percent: float, expected: float) -> None:
    assert Measurement("x", "s", (4.0, 1.0, 3.0, 2.0)).percentile(percent) == expected


def test_parameters_have_units_and_reject_strangers() -> None:
    with pytest.raises(pydantic.ValidationError, match="unit"):
        CHECKS["dead_within"].model_validate({"bound": 2})
    with pytest.raises(pydantic.ValidationError, match="Extra inputs"):
        CHECKS["dead_within"].model_validate({"bounds": "2s"})
    with pytest.raises(pydantic.ValidationError, match="before"):
        CHECKS["latency"].model_validate({"within": "1s", "start": "result", "end": "sent"})
    with pytest.raises(pydantic.ValidationError, match="not a trace event"):
        CHECKS["sometimes"].model_validate({"event": "task_token"})
    with pytest.raises(pydantic.ValidationError, match="no field"):
        CHECKS["sometimes"].model_validate({"event": "task_taken", "where": {"nod": "x"}})
    with pytest.raises(pydantic.ValidationError, match="regular expression"):
        CHECKS["no_errors_in_log"].model_validate({"allow": ["("]})


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_every_check_and_parameter_says_what_it_means(check: type[Check]) -> None:
    assert check.__doc__
    assert len(check.__doc__.splitlines()[0]) < 110
    assert "Limit:" in check.__doc__
    for name, field in check.model_fields.items():
        assert field.description, f"{check.name}.{name} has no description"


def test_a_recovery_is_measured_from_the_faults_end(story: TraceBuilder) -> None:
    story.define("n").boot("n").at(5)
    drop = story.silent("wifi_drop", "n", for_s=20)
    story.at(25).heal(drop, "n").disconnect("n").at(28).connect("n").at(80)
    outcome = judge("recovers_within", story.end(), bound="5s")
    assert outcome.status is Status.HELD
    assert outcome.distributions[0].samples == (pytest.approx(3.002),)
    assert judge("recovers_within", story.events, bound="2s").status is Status.FAILED


def test_a_node_hit_again_owes_no_recovery(story: TraceBuilder) -> None:
    story.define("n", "m").boot("n", "m").at(5)
    first = story.silent("wifi_drop", "n", for_s=20)
    story.at(25).heal(first, "n").at(26).fault("power_cut", "n")
    story.fault("reset", "m")
    story.disconnect("m").connect("m")
    outcome = judge("recovers_within", story.at(100).end())
    assert outcome.status is Status.HELD
    assert outcome.figures["hit again meanwhile"] == 1


def test_after_a_broker_fault_every_node_owes_a_recovery(story: TraceBuilder) -> None:
    story.define("n", "m").boot("n", "m").at(5)
    stop = story.fault("broker_restart")
    story.add(t.BrokerStopped, kept_memory=True).disconnect("n", "broker").disconnect("m", "broker")
    story.at(6).add(t.BrokerStarted).heal(stop).at(7).connect("n")
    outcome = judge("recovers_within", story.at(60).end())
    assert outcome.status is Status.FAILED
    assert outcome.figures == {"recovered": 1, "not_recovered": 1}


def test_a_run_that_ends_before_the_recovery_is_inconclusive(story: TraceBuilder) -> None:
    story.define("n").boot("n").at(5)
    drop = story.silent("wifi_drop", "n", for_s=20)
    assert judge("recovers_within", story.at(25).heal(drop, "n").at(26).end()).status is Status.INCONCLUSIVE


def test_a_node_silenced_just_before_the_end_is_left_out_of_the_ending(story: TraceBuilder) -> None:
    story.define("n", "m").boot("n", "m").at(50).fault("wifi_drop", "n")
    story.at(55).final("n").final("m")
    assert judge("final_status", story.end()).figures["nodes"] == 1


def test_a_node_silenced_for_good_must_end_dead(story: TraceBuilder) -> None:
    story.define("n").boot("n").at(5).fault("wifi_drop", "n")
    assert judge("final_status", [*story.events, final("n", "dead")]).status is Status.HELD
    assert judge("final_status", [*story.events, final("n", "ready")]).status is Status.FAILED


def final(node: str, master_status: str) -> t.FinalNode:
    return t.FinalNode(
        t_us=90_000_000,
        node=node,
        running=True,
        connected=False,
        own_status="ready",
        master_status=master_status,
        inc="1.1",
    )


def test_a_repaired_status_is_legal(story: TraceBuilder) -> None:
    story.define("n").boot("n").at(5).add(t.NodeStatusSeen, node="n", status="dead", inc="1.1")
    seen = t.NodeStatusSeen(t_us=6_000_000, node="n", status="ready", inc="1.1")
    assert judge("status_history", [*story.events, seen]).status is Status.FAILED
    story.add(t.StatusRepaired, node="n", inc="1.1")
    assert judge("status_history", [*story.events, seen]).status is Status.HELD


def test_a_clone_may_connect_before_its_node_and_be_seen_after_it(story: TraceBuilder) -> None:
    """Which CONNECT arrives last, the network decides; but whoever was thrown out does not come back."""
    story.define("n").boot("n").add(t.ParticipantDefined, name="n~1", role=t.Role.CLONE, node="n")
    story.add(t.NodeConnecting, node="n~1", inc="c.1").add(t.NodeConnecting, node="n", inc="1.2")

    def seen(*incs: str) -> list[t.Event]:
        return [
            *story.events,
            *(t.NodeStatusSeen(t_us=6_000_000, node="n", status="ready", inc=inc) for inc in incs),
        ]

    assert judge("status_history", seen("1.2", "c.1")).status is Status.HELD
    assert judge("status_history", seen("c.1", "1.2")).status is Status.HELD
    assert judge("status_history", seen("1.2", "c.1", "1.2")).status is Status.FAILED
    assert judge("status_history", seen("c.1", "1.2", "c.1")).status is Status.FAILED
    assert judge("status_history", seen("1.2", "1.1")).status is Status.FAILED


def test_of_a_task_that_only_the_master_before_sent_each_node_may_bring_a_result(story: TraceBuilder) -> None:
    story.define("n", "m").boot("n", "m").send("n", "a")
    before = [*story.events]
    new = t.MasterStarted(t_us=5_000_000, boot=2)
    sent = t.TaskSent(t_us=5_500_000, node="n", task="a", priority=1)

    def came(*nodes: str) -> list[t.Event]:
        return [t.ResultReceived(t_us=6_000_000, node=node, task="a") for node in nodes]

    assert judge("no_duplicate_results", [*before, *came("n", "m")]).status is Status.FAILED
    assert judge("no_duplicate_results", [*before, new, *came("n", "m")]).status is Status.HELD
    assert judge("no_duplicate_results", [*before, new, *came("n", "n")]).status is Status.FAILED
    assert judge("no_duplicate_results", [*before, new, sent, *came("n", "m")]).status is Status.FAILED


def test_latency_of_one_priority(story: TraceBuilder) -> None:
    story.define("n").boot("n").send("n", "slow", 1).send("n", "fast", 9)
    story.take("n", "fast", 9).at(9).take("n", "slow", 1)
    assert judge("latency", story.events, within="1s", end="taken").status is Status.FAILED
    assert judge("latency", story.events, within="1s", end="taken", priority=9).status is Status.HELD


def test_one_slow_task_of_a_hundred_is_within_p99_and_not_within_p100(story: TraceBuilder) -> None:
    story.define("n").boot("n")
    for number in range(99):
        story.send("n", f"t{number}").work("n", f"t{number}")
    story.send("n", "slow").after(5).work("n", "slow")
    assert judge("latency", story.events, within="1s").status is Status.HELD
    assert judge("latency", story.events, within="1s", percentile=100).status is Status.FAILED


def test_allowed_lines_and_lower_levels_do_not_count(story: TraceBuilder) -> None:
    story.define("n").boot("n")
    for level, text in (("warning", "slow"), ("error", "expected: refused")):
        story.add(t.LogLine, who="master", level=level, text=text)
    assert judge("no_errors_in_log", story.events).status is Status.FAILED
    assert judge("no_errors_in_log", story.events, allow=["^expected"]).status is Status.HELD
    assert (
        judge("no_errors_in_log", story.events, allow=["^expected"], level="warning").status is Status.FAILED
    )


def test_a_lost_task_is_excused_by_the_death_of_its_node(story: TraceBuilder) -> None:
    story.define("n").boot("n").send("n", "a").crash("n")
    assert judge("no_lost_tasks", story.end()).status is Status.HELD
    assert judge("all_tasks_finished", story.events).status is Status.FAILED


def test_repeats_that_the_master_recognised_are_no_duplicates(story: TraceBuilder) -> None:
    story.define("n").boot("n").send("n", "a").work("n", "a").add(t.ResultDuplicate, node="n", task="a")
    outcome = judge("no_duplicate_results", story.events)
    assert outcome.status is Status.HELD
    assert outcome.figures["recognised"] == 1


def test_sometimes_counts_with_filters(story: TraceBuilder) -> None:
    story.define("n", "m").boot("n", "m").crash("n")
    assert (
        judge("sometimes", story.events, event="node_stopped", where={"how": "crash"}).status is Status.HELD
    )
    assert judge("sometimes", story.end(), event="node_stopped", at_least=2).status is Status.FAILED
    assert judge("sometimes", story.events, event="node_stopped", where={"node": "m"}).status is Status.FAILED


@pytest.mark.parametrize(
    ("kind", "settled", "status"),
    [
        ("firmware", "at work", Status.HELD),
        ("firmware", "before", Status.HELD),
        ("firmware", "never", Status.FAILED),
        ("python", "at work", Status.FAILED),
    ],
)
def test_a_board_ends_unseen_what_was_settled_meanwhile(
    story: TraceBuilder, kind: str, settled: str, status: Status
) -> None:
    """Found by seeds 202 and 1371 of the swarm of boards: another node's result came, late, while it was at
    work, or a moment before, which it could not know."""
    story.add(t.NodeDefined, node="b", group="g", kind=kind, keepalive_s=10.0).boot("b")
    story.executor().ask("a").ask("next").place("b", "a")
    if settled == "before":
        story.add(t.TaskSettled, asker="x", task="a", outcome="result", node="other")
    story.take("b", "a").status("b", "busy")
    if settled == "at work":
        story.add(t.TaskSettled, asker="x", task="a", outcome="result", node="other")
    story.status("b", "ready").place("b", "next").run("b", "next")
    assert judge("busy_at_work", story.end()).status is status


@pytest.mark.parametrize(("kind", "status"), [("firmware", Status.HELD), ("python", Status.FAILED)])
def test_so_does_a_boards_clone(story: TraceBuilder, kind: str, status: Status) -> None:
    """Found by seed 4080 of the swarm of boards."""
    story.add(t.NodeDefined, node="b", group="g", kind=kind, keepalive_s=10.0)
    double = story.clone_of("b")
    story.boot("b", double).executor().ask("a").ask("next").place(double, "a")
    story.add(t.TaskSettled, asker="x", task="a", outcome="result", node="b")
    story.take(double, "a").status(double, "busy").status(double, "ready").place("b", "next").run("b", "next")
    assert judge("busy_at_work", story.end()).status is status


@pytest.mark.parametrize(("came", "status"), [("before", Status.FAILED), ("after", Status.HELD)])
def test_who_calls_itself_ready_has_found_what_came_before_it_finished(
    story: TraceBuilder, came: str, status: Status
) -> None:
    story.add(t.NodeDefined, node="b", group="g", kind="python", keepalive_s=10.0).boot("b")
    story.executor().ask("a").ask("next").place("b", "a").take("b", "a").status("b", "busy")
    if came == "before":
        story.place("b", "next")
    story.add(t.TaskFinished, node="b", task="a")
    if came == "after":
        story.place("b", "next")
    story.status("b", "ready").status("b", "busy").run("b", "next")
    assert judge("busy_at_work", story.end()).status is status
