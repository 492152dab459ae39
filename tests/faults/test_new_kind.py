"""A new kind of fault is one file: it works wherever kinds of fault do, and nothing else was touched."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from dcompute_sim import trace as t
from dcompute_sim.checks.check import Status
from dcompute_sim.checks.coverage import coverage
from dcompute_sim.faults import KINDS, node_faults
from dcompute_sim.hardware.hardware_map import BoardLocation
from dcompute_sim.hardware.supported_faults import check_supported
from dcompute_sim.interfaces.world import EngineError
from dcompute_sim.report.console import print_run
from dcompute_sim.report.coverage_report import print_coverage
from dcompute_sim.report.html import html
from dcompute_sim.report.json_report import report
from dcompute_sim.report.run_report import RunReport, judged
from dcompute_sim.run import RunOptions, RunOutcome, run_scenario
from dcompute_sim.scenario import Scenario, ScenarioError, concretise, load
from dcompute_sim.scenario.explain import explain
from dcompute_sim.scenario.reference import reference
from dcompute_sim.scenario.schema import json_schema
from dcompute_sim.terminal import make_console

KIND = "microwave_oven"
TEXT = """\
version: 1
name: kitchen
phases: {start: 5s, storm: 60s, quiet: 30s}
fleet: {py: {count: 3, keepalive: 6s}}
workload: [{phase: storm, rate: 2/s}]
faults:
  - {kind: microwave_oven, at: 10s, for: 25s, noise: 3KiB/s, select: {names: [py-2]}}
expect: [dead_within, no_false_deaths, no_lost_results, recovers_within, final_status, all_tasks_finished]
"""


@pytest.fixture
def kitchen(known: Callable[[str], None], tmp_path: Path) -> Scenario:
    known(KIND)
    path = tmp_path / "kitchen.yaml"
    path.write_text(TEXT)
    return load(path)


@pytest.fixture
def outcome(kitchen: Scenario) -> RunOutcome:
    return run_scenario(kitchen, RunOptions(reference="kitchen"))


@pytest.fixture
def run(kitchen: Scenario, outcome: RunOutcome) -> RunReport:
    return judged(kitchen.expect, outcome.trace.events)


def test_yaml_knows_it_and_says_what_is_wrong_in_it(kitchen: Scenario, tmp_path: Path) -> None:
    assert kitchen.faults[0].kind == KIND
    assert kitchen.faults[0].lasts == 25.0
    path = tmp_path / "wrong.yaml"
    path.write_text(TEXT.replace("noise: 3KiB/s", "nose: 3KiB/s"))
    with pytest.raises(ScenarioError, match="unknown key `nose`") as caught:
        load(path)
    assert "noise" in str(caught.value)
    path.write_text(TEXT.replace("kind: microwave_oven", "kind: microwave"))
    with pytest.raises(ScenarioError, match="microwave_oven"):
        load(path)


def test_forgotten_it_is_unknown(known: Callable[[str], None], tmp_path: Path) -> None:
    path = tmp_path / "kitchen.yaml"
    path.write_text(TEXT)
    with pytest.raises(ScenarioError, match="no fault is called `microwave_oven`"):
        load(path)


def test_the_schema_and_the_reference_have_it(kitchen: Scenario) -> None:
    schema = json_schema()
    written: dict[str, Any] = json.loads(json.dumps(kitchen.model_dump(mode="json", exclude_defaults=True)))
    jsonschema.validate(written, schema)
    written["faults"][0]["nose"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(written, schema)
    assert "| `microwave_oven` | nodes | Somebody warms up soup" in reference()


def test_explain_tells_it_in_its_own_words(kitchen: Scenario) -> None:
    assert "microwave_oven on py-2 (noise 3KiB/s), for 25s" in " ".join(explain(kitchen).split())


def test_it_is_done_leaves_a_receipt_and_explains_a_death(outcome: RunOutcome) -> None:
    assert outcome.verdict.status is Status.HELD, [r.outcome for r in outcome.verdict.results]
    (injected,) = (event for event in outcome.trace if isinstance(event, t.FaultInjected))
    assert (injected.kind, injected.node, injected.t_s) == (KIND, "py-2", 10.0)
    (receipt,) = outcome.verdict.receipts
    assert receipt.bit
    assert [event.node for event in outcome.trace if isinstance(event, t.DeathReported)] == ["py-2"]
    figures = {r.name: r.outcome.figures for r in outcome.verdict.results}
    assert figures["no_false_deaths"]["by microwave_oven"] == 1
    assert figures["dead_within"]["in_time"] == 1
    recovers = next(r.outcome for r in outcome.verdict.results if r.name == "recovers_within")
    (measured,) = recovers.distributions
    assert measured.name == KIND


def test_a_trace_with_it_cannot_be_judged_where_it_is_unknown(kitchen: Scenario, outcome: RunOutcome) -> None:
    KINDS.remove(KIND)
    verdict = judged(kitchen.expect, outcome.trace.events).verdict
    (unknown,) = (result for result in verdict.results if result.name == "known_faults")
    assert unknown.outcome.status is Status.INCONCLUSIVE
    assert KIND in unknown.outcome.summary


def test_without_a_word_of_its_effect_it_never_bit(kitchen: Scenario) -> None:
    """It heals before anything wanted to cross."""
    idle = kitchen.model_copy(
        update={"workload": [], "faults": [kitchen.faults[0].model_copy(update={"heal_after": 0.5})]}
    )
    assert run_scenario(idle).verdict.status is Status.INCONCLUSIVE


def test_swarms_draw_it(known: Callable[[str], None]) -> None:
    known(KIND)
    swarm = {"kinds": [KIND, "reset"], "faults": [6, 6], "nodes": [4, 4]}
    scenario = Scenario.model_validate(
        {"version": 1, "name": "s", "random": swarm, "expect": ["no_false_deaths"]}
    )
    plain = concretise(scenario, 3)
    drawn = [fault for fault in plain.faults if fault.kind == KIND]
    assert drawn
    assert all(fault.sure and "noise" in fault.details() for fault in drawn)
    outcome = run_scenario(scenario, RunOptions(seed=3))
    assert outcome.verdict.status is Status.HELD, [r.outcome for r in outcome.verdict.results]
    assert KIND in {e.kind for e in outcome.trace if isinstance(e, t.FaultInjected) and e.node}
    every_kind = Scenario.model_validate({"version": 1, "name": "s", "random": {"faults": [8, 8]}})
    kinds = {fault.kind for seed in range(60) for fault in concretise(every_kind, seed).faults}
    assert KIND in kinds


def test_where_it_cannot_be_done_is_said_before_anything_starts(kitchen: Scenario) -> None:
    fleet = {"py": kitchen.fleet["py"].model_copy(update={"kind": "board"})}
    boards = kitchen.model_copy(update={"fleet": fleet, "time": "real"})
    places = {
        name: BoardLocation(f"/dev/{name}", "127.0.0.1", 115200, "repl", 1 << 20) for name in boards.nodes()
    }
    with pytest.raises(EngineError, match="microwave_oven cannot be done to the board py-2: no oven"):
        check_supported(boards, places)


def test_reports_show_it(run: RunReport) -> None:
    out = io.StringIO()
    print_run(make_console("plain", out), run, "plain")
    assert "Faults: 1 microwave_oven." in out.getvalue()
    assert "dead_within: microwave_oven" in out.getvalue()
    (fault,) = json.loads(report([run]))["runs"][0]["faults"]
    assert fault["kind"] == KIND
    assert fault["effects"]
    page = html(run)
    assert '"colours":{"microwave_oven":"#123456"}' in page
    print_coverage(make_console("plain", out), coverage([run.events]), node_faults())
    assert f"\n{KIND} " in out.getvalue()
