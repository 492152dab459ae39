"""The verdict: exit status, receipts, implicit checks, coverage."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from dcompute_sim import trace as t
from dcompute_sim.checks import CHECKS, Check, Status
from dcompute_sim.checks.coverage import coverage
from dcompute_sim.checks.own_time import in_own_time
from dcompute_sim.checks.verdict import judge
from dcompute_sim.run import RunOptions, run_scenario
from dcompute_sim.scenario import Scenario

from .conftest import TraceBuilder

HELD = CHECKS["no_errors_in_log"]()
FAILS = CHECKS["sometimes"].model_validate({"event": "result_dropped"})
UNDECIDED = CHECKS["memory_below"].model_validate({"limit": "1KiB"})


@pytest.fixture
def quiet(story: TraceBuilder) -> list[t.Event]:
    return story.define("n").boot("n").at(5).crash("n").at(60).end()


@pytest.mark.parametrize(
    ("expectations", "exit_status"),
    [
        ([HELD], 0),
        ([HELD, FAILS], 1),
        ([HELD, UNDECIDED], 2),
        ([UNDECIDED, FAILS], 1),
        ([], 2),
    ],
)
def test_exit_status(quiet: list[t.Event], expectations: list[Check], exit_status: int) -> None:
    assert judge(expectations, quiet).exit_status == exit_status


def test_a_fault_without_effect_makes_the_run_inconclusive_never_a_pass(story: TraceBuilder) -> None:
    story.define("n").boot("n").fault("crash", "n", effect="")
    verdict = judge([HELD], story.end())
    assert verdict.exit_status == 2
    (result,) = verdict.of(Status.INCONCLUSIVE)
    assert result.name == "fault_receipts"
    assert "crash-1" in result.outcome.summary
    assert [receipt.bit for receipt in verdict.receipts] == [False]


def test_receipts_list_each_fault_with_its_effects(story: TraceBuilder) -> None:
    story.define("n").boot("n")
    name = story.fault("reset", "n", effect="rst")
    story.add(t.FaultEffect, fault=name, node="n", effect="will published")
    verdict = judge([HELD], story.end())
    assert verdict.receipts[0].effects == ("rst", "will published")
    assert verdict.exit_status == 0


@pytest.mark.parametrize("reason", ["timeout", "interrupted"])
def test_a_run_that_did_not_finish_is_inconclusive(story: TraceBuilder, reason: str) -> None:
    assert judge([HELD], story.end(reason)).exit_status == 2


def test_a_trace_cut_off_is_inconclusive(quiet: list[t.Event]) -> None:
    assert judge([HELD], quiet[:-1]).exit_status == 2
    assert judge([HELD], []).exit_status == 2


def test_a_trace_that_goes_backwards_fails(quiet: list[t.Event]) -> None:
    assert judge([HELD], [quiet[0], quiet[-2], *quiet[1:]]).exit_status == 1


def test_a_failure_hides_behind_nothing(quiet: list[t.Event]) -> None:
    verdict = judge([FAILS, HELD, UNDECIDED], quiet)
    assert [r.name for r in verdict.of(Status.FAILED)] == ["sometimes"]
    assert verdict.results[0].label == "sometimes (event: result_dropped)"


@pytest.mark.parametrize(
    ("lags", "status", "said"),
    [
        pytest.param([], Status.FAILED, "1 reported late", id="in time itself"),
        pytest.param([(5.9, 0.5)], Status.FAILED, "1 reported late", id="not as late as that"),
        pytest.param([(4.9, 4)], Status.FAILED, "1 reported late", id="before"),
        pytest.param([(12, 4)], Status.FAILED, "1 reported late", id="after"),
        pytest.param(
            [(7.9, 2)], Status.INCONCLUSIVE, "the testbed itself was 2.0 s late; else: 0 of", id="late"
        ),
        pytest.param([(6, 0.7), (7.5, 0.7)], Status.INCONCLUSIVE, "1.4 s late", id="twice"),
        pytest.param([(8.2, 2)], Status.INCONCLUSIVE, "2.0 s late", id="read in the turn that ended it"),
    ],
)
def test_what_the_testbeds_own_lateness_turns_red_is_undecided(
    story: TraceBuilder, lags: list[tuple[float, float]], status: Status, said: str
) -> None:
    """A crash, reported a second later than it had to be."""
    events = story.define("n").boot("n").at(5).crash("n", 3).at(60).end()
    events += [t.LoopLagged(t_us=round(s * 1e6), lag_us=round(lag_s * 1e6)) for s, lag_s in lags]
    events.sort(key=lambda event: event.t_us)
    verdict = judge([CHECKS["dead_within"]()], events)
    assert verdict.results[0].outcome.status is status
    assert said in verdict.results[0].outcome.summary


@pytest.mark.parametrize(
    ("broker_lags", "loop_lags", "status"),
    [
        pytest.param([(7.9, 2)], [], Status.INCONCLUSIVE, id="late"),
        pytest.param([(6, 0.7)], [(7.5, 0.7)], Status.INCONCLUSIVE, id="one after the other"),
        pytest.param([(6.9, 0.7)], [(7, 0.8)], Status.FAILED, id="both at once, which passed once"),
        pytest.param([(7, 0.1)], [], Status.FAILED, id="quick: the node was told of late all the same"),
        pytest.param([(4.9, 4), (20, 9)], [], Status.FAILED, id="before and after"),
    ],
)
def test_a_broker_without_a_processor_is_the_testbeds_own_lateness(
    story: TraceBuilder,
    broker_lags: list[tuple[float, float]],
    loop_lags: list[tuple[float, float]],
    status: Status,
) -> None:
    """A crash, reported a second later than it had to be."""
    events = story.define("n").boot("n").at(5).crash("n", 3).at(60).end()
    for kind, lags in ((t.BrokerLagged, broker_lags), (t.LoopLagged, loop_lags)):
        events += [kind(t_us=round(s * 1e6), lag_us=round(lag_s * 1e6)) for s, lag_s in lags]
    events.sort(key=lambda event: event.t_us)
    assert judge([CHECKS["dead_within"]()], events).results[0].outcome.status is status


def test_own_time_goes_forward(healthy: list[t.Event]) -> None:
    lagged = [t.LoopLagged(t_us=us, lag_us=700_000) for us in range(1_000_000, healthy[-1].t_us, 1_000_000)]
    events = sorted([*healthy, *lagged], key=lambda event: event.t_us)
    moved = in_own_time(events)
    times_us = [event.t_us for event in moved]
    assert times_us == sorted(times_us)
    assert times_us[-1] == events[-1].t_us - 700_000 * len(lagged)
    assert [type(event) for event in moved] == [type(event) for event in healthy]


def test_a_trace_object_is_judged_like_its_events(quiet: list[t.Event]) -> None:
    trace = t.Trace()
    for event in quiet:
        trace.add(event)
    assert judge([HELD], trace).exit_status == 0


def test_a_saved_trace_gives_the_same_verdict(healthy: list[t.Event], tmp_path: Path) -> None:
    expectations = [CHECKS[name]() for name in ("dead_within", "no_false_deaths", "priority_order")]
    expectations.append(CHECKS["memory_below"].model_validate({"limit": "32KiB"}))
    trace = t.Trace()
    for event in healthy:
        trace.add(event)
    trace.write(tmp_path / "trace.jsonl")
    assert judge(expectations, t.read(tmp_path / "trace.jsonl")) == judge(expectations, healthy)


def test_coverage_knows_the_state_each_fault_hit(story: TraceBuilder) -> None:
    story.define("n").add(t.NodeStarted, node="n", boot=1).fault("reset", "n")
    story.add(t.NodeConnecting, node="n", inc="1.1").fault("reset", "n")
    story.add(t.NodeSubscribing, node="n", inc="1.1").fault("reset", "n")
    story.connect("n").fault("reset", "n")
    story.send("n", "a").take("n", "a").fault("reset", "n")
    story.add(t.ResultHeld, node="n", task="a").fault("reset", "n")
    story.add(t.NodeStopped, node="n", how="crash").fault("crash", "n")
    story.fault("broker_stop")
    found = coverage([story.end()])
    states = ["disconnected", "connecting", "subscribing", "idle", "busy", "publishing"]
    assert found.hits == {("reset", state): 1 for state in states} | {("crash", "off"): 1}
    assert ("crash", "busy") in found.never()
    assert not [pair for pair in found.never() if pair[0] == "reset"]


def test_coverage_adds_up_over_runs(story: TraceBuilder) -> None:
    story.define("n").boot("n").crash("n")
    assert coverage([story.events, story.events]).hits["crash", "idle"] == 2


def test_one_of_a_kind_is_told_in_the_singular() -> None:
    """`1 boards booted`, `1 deaths`: of whatever a run has one, its verdict says so."""
    keys = {
        "version": 1,
        "name": "one",
        "duration": "60s",
        "fleet": {"n": {"count": 1, "keepalive": "5s"}},
        "workload": [{"at": "5s", "tasks": 1}],
        "faults": [{"kind": "crash", "at": "20s", "restart_after": "5s"}],
        "expect": [
            "dead_within",
            "no_false_deaths",
            "callback_once",
            "recovers_within",
            "tasks_as_sent",
            "no_errors_in_log",
            {"sometimes": {"event": "death_reported"}},
            {"never": {"event": "node_connected"}},
        ],
    }
    verdict = run_scenario(Scenario.model_validate(keys), RunOptions(time="virtual")).verdict
    told = [result.outcome.summary for result in verdict.results]
    assert "1 death, all reported in time" in told
    assert "1 fault injected, each with a visible effect" in told
    assert not [line for line in told if re.match(r"1 (?:\w+ )?\w+s\b|.* happened 1 times", line)], told
