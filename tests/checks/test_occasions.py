"""Untested is undecided: a check that met no occasion says so, and says what was missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from dcompute_sim import trace as t
from dcompute_sim.checks import CHECKS, CheckOutcome, Status

from .conftest import TraceBuilder
from .test_mutations import HEALTHY


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


# --- every check -----------------------------------------------------------------------------------------


def _nothing(story: TraceBuilder) -> list[t.Event]:
    return []


def _a_beginning(story: TraceBuilder) -> list[t.Event]:
    return story.events


def _nobody_at_all(story: TraceBuilder) -> list[t.Event]:
    return TraceBuilder().at(60).end()


def _nodes_that_never_ran(story: TraceBuilder) -> list[t.Event]:
    return boards(story.define("n1", "n2"), "n3").at(60).end()


def _nodes_that_only_began(story: TraceBuilder) -> list[t.Event]:
    story.define("n1", "n2").add(t.NodeStarted, node="n1", boot=1).add(t.NodeStarted, node="n2", boot=1)
    return story.at(60).end()


IS_ITSELF_AN_OCCASION = {
    ("sometimes", _nobody_at_all),  # that it did not happen in a whole run is what it is about
    ("sometimes", _nodes_that_never_ran),
    ("sometimes", _nodes_that_only_began),
    ("no_errors_in_log", _nodes_that_only_began),
}


@pytest.mark.parametrize("name", sorted(CHECKS))
@pytest.mark.parametrize(
    "events", [_nothing, _a_beginning, _nobody_at_all, _nodes_that_never_ran, _nodes_that_only_began]
)
def test_where_nothing_of_its_kind_happened_nothing_is_said(
    story: TraceBuilder, name: str, events: Callable[[TraceBuilder], list[t.Event]]
) -> None:
    outcome = judge(name, events(story), **HEALTHY[name])
    expected = (name, events) in IS_ITSELF_AN_OCCASION
    assert (outcome.status is not Status.INCONCLUSIVE) is expected, outcome
    assert len(outcome.summary.split()) >= 3, "says what was missing"


def test_nodes_that_say_nothing_leave_the_masters_api_nothing_to_say(story: TraceBuilder) -> None:
    counts = {"connections": 1, "messages_rejected": 0, "duplicate_results": 0, "stale_deaths": 0}
    outcome = judge("master_api", story.define("n").add(t.MasterCounted, values=counts).end())
    assert outcome.status is Status.INCONCLUSIVE


# --- excuses -----------------------------------------------------------------------------------------------


def _a_silence_that_healed(story: TraceBuilder) -> None:
    story.heal(story.silent("wifi_drop", "n2", report_s=None, for_s=3), "n2")


def _a_silence_as_the_run_ends(story: TraceBuilder) -> None:
    story.final("n1").at(35).silent("wifi_drop", "n2", report_s=None)
    story.at(40).add(t.FinalNode, node="n2", running=True, connected=True, own_status="ready",
                     master_status="ready", inc=story.incs["n2"])  # fmt: skip
    story.add(t.RetainedStatus, node="n2", status="ready", inc=story.incs["n2"])


def _a_connection_lost(story: TraceBuilder, before_the_end_s: float, retained: str = "ready") -> None:
    """Seed 4734 of the swarm: a lossy link ended it half a second before the run did."""
    story.final("n1").at(40 - before_the_end_s).disconnect("n2").death("n2")
    story.at(40).add(t.RetainedStatus, node="n2", status=retained, inc=story.incs["n2"])
    story.add(t.FinalNode, node="n2", running=True, connected=False, own_status="ready",
              master_status="dead", inc=story.incs["n2"])  # fmt: skip


def _a_connection_lost_as_the_run_ends(story: TraceBuilder) -> None:
    _a_connection_lost(story, 0.5)


def _a_word_on_its_way(
    story: TraceBuilder, stalled_s: float, retained: str = "dead", missed_s: float = 0.1
) -> None:
    """Seed 2293 of the swarm of boards: its `ready` was lost a second before the end, to be sent again."""
    story.final("n1").at(39 - stalled_s).disconnect("n2").death("n2")
    story.add(t.NodeConnecting, node="n2", inc="1.2").add(t.WireOpened, node="n2", conn=9).add(
        t.NodeConnected, node="n2", inc="1.2"
    )
    story.add(t.StatusPublished, node="n2", status="ready", inc="1.2").after(0.1)
    story.add(t.WireStalled, node="n2", conn=9, missed_us=round(missed_s * 1e6))
    story.at(40).add(t.RetainedStatus, node="n2", status=retained, inc="1.1" if retained == "dead" else "1.2")
    story.add(t.FinalNode, node="n2", running=True, connected=True, own_status="ready",
              master_status=retained, inc="1.2")  # fmt: skip


def _a_word_on_its_way_as_the_run_ends(story: TraceBuilder) -> None:
    _a_word_on_its_way(story, 3)


def _a_task_that_is_to_fail(story: TraceBuilder) -> None:
    story.send("n1", "well").work("n1", "well").send("n2", "ill")
    story.add(t.TaskFinished, node="n2", task="ill", ok=False, meant=True)
    story.add(t.ResultTaken, node="n2", task="ill", answer="?", value="?", ok=False, attempt=1)


def _a_result_that_its_node_took_along(story: TraceBuilder) -> None:
    story.send("n1", "a").work("n1", "a").send("n2", "b").take("n2", "b")
    story.add(t.TaskFinished, node="n2", task="b").crash("n2")


@pytest.mark.parametrize(
    ("what", "name", "said"),
    [
        (_a_silence_that_healed, "dead_within", "1 of 2 excused: healed before the broker had to notice"),
        (_a_silence_as_the_run_ends, "final_status", "1 of 2 excused: silenced so late"),
        (_a_silence_as_the_run_ends, "retained_consistent", "1 of 2 excused: silenced so late"),
        (_a_connection_lost_as_the_run_ends, "final_status", "1 of 2 excused: on its way back"),
        (_a_connection_lost_as_the_run_ends, "retained_consistent", "1 of 2 excused: on its way back"),
        (
            _a_word_on_its_way_as_the_run_ends,
            "final_status",
            "1 of 2 excused: its last word still on its way",
        ),
        (_a_word_on_its_way_as_the_run_ends, "retained_consistent", "1 of 2 excused: its last word still on"),
        (_a_task_that_is_to_fail, "results_match", "1 of 2 excused: meant to fail"),
        (_a_result_that_its_node_took_along, "no_lost_results", "1 of 2 excused: went down with their node"),
    ],
)
def test_excuses_are_counted_in_the_verdict(
    story: TraceBuilder, what: Callable[[TraceBuilder], None], name: str, said: str
) -> None:
    story.define("n1", "n2").boot("n1", "n2").at(1).crash("n1").at(2).boot("n1", boot=2)
    what(story.at(20))
    outcome = judge(name, story.end())
    assert outcome.status is Status.HELD, outcome
    assert said in outcome.summary


@pytest.mark.parametrize("name", ["final_status", "retained_consistent"])
def test_a_node_that_does_not_come_back_is_no_excuse(story: TraceBuilder, name: str) -> None:
    story.define("n1", "n2").boot("n1", "n2").at(20)
    _a_connection_lost(story, 6, retained="dead")
    assert judge(name, story.end()).status is Status.FAILED


@pytest.mark.parametrize("name", ["final_status", "retained_consistent"])
def test_a_word_is_on_its_way_while_it_is_missing_and_no_longer(story: TraceBuilder, name: str) -> None:
    story.define("n1", "n2").boot("n1", "n2").at(5)
    _a_word_on_its_way(story, 3, missed_s=-1.5)  # the silence began after the word had crossed
    assert judge(name, story.end()).status is Status.FAILED


@pytest.mark.parametrize(("retained", "verdict"), [("dead", Status.HELD), ("ready", Status.FAILED)])
@pytest.mark.parametrize("name", ["final_status", "retained_consistent"])
def test_who_is_stalled_for_longer_than_the_broker_waits_has_to_be_dead(
    story: TraceBuilder, name: str, retained: str, verdict: Status
) -> None:
    story.define("n1", "n2").boot("n1", "n2").at(5)
    _a_word_on_its_way(story, 20, retained)
    assert judge(name, story.end()).status is verdict


@pytest.mark.parametrize(("master_status", "verdict"), [("ready", Status.HELD), ("dead", Status.FAILED)])
def test_a_node_that_is_back_as_the_run_ends_is_judged(
    story: TraceBuilder, master_status: str, verdict: Status
) -> None:
    story.define("n2").boot("n2").at(39).disconnect("n2").death("n2").at(39.5).connect("n2").at(40)
    story.add(t.FinalNode, node="n2", running=True, connected=True, own_status="ready",
              master_status=master_status, inc=story.incs["n2"])  # fmt: skip
    assert judge("final_status", story.end()).status is verdict


@pytest.mark.parametrize(
    ("who", "are", "said"),
    [
        ("n1", {"connections": 1}, "n1 told no counters"),
        (
            "master",
            {"connection": 1},
            "master has no counter connection; there are: connections, results_dropped",
        ),
    ],
)
def test_counters_that_nobody_has_are_undecided(
    story: TraceBuilder, who: str, are: dict[str, int], said: str
) -> None:
    story.add(t.MasterCounted, values={"connections": 1, "results_dropped": 0})
    outcome = judge("counters", story.end(), who=who, are=are)
    assert (outcome.status, outcome.summary) == (Status.INCONCLUSIVE, said)


@pytest.mark.parametrize(("dropped", "status"), [(2, Status.HELD), (1, Status.FAILED), (3, Status.FAILED)])
def test_results_that_were_never_given_are_those_that_the_master_has_dropped(
    story: TraceBuilder, dropped: int, status: Status
) -> None:
    counts = {"connections": 1, "messages_rejected": 0, "duplicate_results": 0, "stale_deaths": 0}
    story.master_up().define("n").boot("n")
    for task in ("a", "b", "c"):
        story.add(t.ResultReceived, node="n", task=task)
    story.add(t.ResultTaken, node="n", task="c", answer="c", value="")
    story.add(t.MasterAnswered, node="n", status="ready", inc=story.incs["n"])
    story.add(t.MasterCounted, values={**counts, "results_dropped": dropped})
    assert judge("master_api", story.at(60).end()).status is status


def test_of_results_whose_order_is_not_known_it_is_said_why(story: TraceBuilder) -> None:
    """In the swarm, the reason of nine in ten seeds that left something untested."""
    story.define("n1", "n2").master_up().boot("n1", "n2")
    assert judge("held_in_order", story.events).summary == "no result arrived"
    story.clone_of("n2")
    story.after(1).finish("n1", "a", asker="x").finish("n1", "b", asker="x").finish("n2", "c")
    story.add(t.ResultHeld, node="n1", task="d").add(t.ResultHeld, node="n1", task="e")
    story.add(t.ResultHeld, node="n1", task="d").add(t.ResultReceived, node="n1", task="d")
    story.master_up().after(1).add(t.ResultReceived, node="n1", task="e")
    outcome = judge("held_in_order", story.events)
    assert outcome.status is Status.INCONCLUSIVE
    for why in (
        "of none of 5 results: 2 asked for by an executor, which asks again in doubt",
        "1 from a program of somebody else, or from one of two with a node's id",
        "1 given twice, or in an earlier life of the node",
        "1 given before the master was connected",
    ):
        assert why in outcome.summary
    story.after(1).finish("n1", "f")
    assert judge("held_in_order", story.events).status is Status.HELD
