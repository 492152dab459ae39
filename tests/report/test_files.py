"""JUnit, GitHub annotations and JSON: read back by a parser of that format."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest
from dcompute_sim import trace as t
from dcompute_sim.checks import CHECKS, Check
from dcompute_sim.report.github import workflow_commands
from dcompute_sim.report.json_report import report
from dcompute_sim.report.junit import junit
from dcompute_sim.report.run_report import RunReport, judged

from .conftest import NewFleet


def suite_of(*runs: RunReport) -> ET.Element:
    return ET.fromstring(junit(runs))


def test_each_expectation_is_a_test_case(good_run: RunReport) -> None:
    (suite,) = suite_of(good_run)
    names = [case.get("name") for case in suite.iter("testcase")]
    assert names == [result.label for result in good_run.verdict.results]
    assert suite.get("failures") == suite.get("errors") == "0"
    assert {p.get("name"): p.get("value") for p in suite.iter("property")}["replay"] == good_run.replay


def test_failures_and_errors_are_counted_and_tell_how_to_repeat(
    bad_run: RunReport, good_run: RunReport, fleet: NewFleet
) -> None:
    undecided = judged([CHECKS["memory_below"].model_validate({"limit": "1KiB"})], fleet())
    root = suite_of(good_run, bad_run, undecided)
    assert (root.get("failures"), root.get("errors")) == ("2", "1")
    assert root.get("tests") == str(sum(len(list(suite.iter("testcase"))) for suite in root))
    failure = next(root.iter("failure"))
    assert failure.get("message") == "1 of 4 deaths never reported"
    told = failure.text or ""
    assert "> " in told
    assert bad_run.replay in told
    assert next(root.iter("error")).get("message") == (
        "no node told its memory: only emulated boards do, when they are asked"
    )


def test_control_characters_do_not_break_the_xml(expectations: list[Check]) -> None:
    events = [
        t.RunStarted(
            t_us=0, scenario="a\x00b.yaml", seed=1, time="real", broker="<&>", broker_granularity_s=0
        ),
        t.LogLine(t_us=1, who="n", level="error", text='\x1b[31m ]]> \ud800 "'),
        t.RunEnded(t_us=2, reason="finished"),
    ]
    (suite,) = suite_of(judged([CHECKS["no_errors_in_log"]()], events))
    assert suite.get("failures") == "1"


def test_annotations_name_what_did_not_hold(bad_run: RunReport, good_run: RunReport) -> None:
    assert workflow_commands(good_run) == []
    places = [("scenarios/fleet.yaml", 12), ("scenarios/common.yaml", 3)]
    first, second = workflow_commands(bad_run, places)
    assert first.startswith(
        "::error file=scenarios/fleet.yaml,line=12,title=fleet%3A dead_within::1 of 4 deaths"
    )
    assert "%0Aagain: dcompute run" in first
    assert "\n" not in first
    assert "priority_order" in second


def test_annotations_escape_what_ends_a_property(fleet: NewFleet) -> None:
    run = judged(
        [CHECKS["sometimes"].model_validate({"event": "result_dropped", "where": {"node": "a,b::c\n%"}})],
        fleet(),
    )
    (line,) = workflow_commands(run)
    assert "a%2Cb%3A%3Ac%0A%25" in line


def test_an_inconclusive_run_is_a_warning(fleet: NewFleet) -> None:
    (line,) = workflow_commands(judged([CHECKS["memory_below"].model_validate({"limit": "1KiB"})], fleet()))
    assert line.startswith("::warning ")


def test_the_json_has_figures_offending_events_and_receipts(bad_run: RunReport) -> None:
    document = json.loads(report([bad_run]))
    (run,) = document["runs"]
    assert document["exit_status"] == run["exit_status"] == 1
    dead = run["expectations"][0]
    assert dead["figures"]["never_reported"] == 1
    assert dead["offending"][0]["event"] == "fault_injected"
    assert {d["name"] for d in dead["distributions"]} == {"crash", "wifi_drop"}
    assert len(run["faults"]) == 4
    assert all(fault["effects"] for fault in run["faults"])
    assert run["totals"]["events"]["death_reported"] == 3


@pytest.mark.parametrize(("members", "exit_status"), [("g", 0), ("gu", 2), ("gub", 1), ("", 0)])
def test_the_worst_run_decides_the_exit_status(
    members: str, exit_status: int, good_run: RunReport, bad_run: RunReport, fleet: NewFleet
) -> None:
    runs = {"g": good_run, "b": bad_run, "u": judged([], fleet())}
    assert json.loads(report([runs[m] for m in members]))["exit_status"] == exit_status
