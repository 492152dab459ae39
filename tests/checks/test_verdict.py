"""The verdict: exit status, receipts, implicit checks, coverage."""

from __future__ import annotations

from pathlib import Path

import pytest
from dcompute_sim import trace as t
from dcompute_sim.checks import CHECKS, Check, Status
from dcompute_sim.checks.coverage import coverage
from dcompute_sim.checks.verdict import judge

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
