"""A new check is one file: it works wherever checks do, and nothing else was touched."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from dcompute_sim.checks.check import Status
from dcompute_sim.report.console import print_run
from dcompute_sim.report.html import html
from dcompute_sim.report.json_report import report
from dcompute_sim.report.run_report import judged
from dcompute_sim.run import run_scenario
from dcompute_sim.scenario import Scenario, ScenarioError, load
from dcompute_sim.scenario.explain import explain
from dcompute_sim.scenario.reference import reference
from dcompute_sim.scenario.schema import json_schema
from dcompute_sim.terminal import make_console

TEXT = """\
version: 1
name: dinner
duration: 20s
fleet: {py: {count: 2}}
workload: [{at: 4s, tasks: 3}]
expect: [soup_is_served: {patience: 10s}]
"""


@pytest.fixture
def dinner(known: Callable[[str], None], tmp_path: Path) -> Scenario:
    known("soup_is_served")
    path = tmp_path / "dinner.yaml"
    path.write_text(TEXT)
    return load(path)


def test_yaml_knows_it_and_says_what_is_wrong_in_it(dinner: Scenario, tmp_path: Path) -> None:
    assert [check.name for check in dinner.expect] == ["soup_is_served"]
    path = tmp_path / "wrong.yaml"
    path.write_text(TEXT.replace("patience:", "patients:"))
    with pytest.raises(ScenarioError, match="did you mean `patience`"):
        load(path)
    path.write_text(TEXT.replace("soup_is_served", "soup_is_cold"))
    with pytest.raises(ScenarioError, match="did you mean `soup_is_served`"):
        load(path)


def test_forgotten_it_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "dinner.yaml"
    path.write_text(TEXT)
    with pytest.raises(ScenarioError, match="no expectation is called `soup_is_served`"):
        load(path)


def test_the_schema_the_reference_and_explain_have_it(dinner: Scenario) -> None:
    written: dict[str, Any] = json.loads(json.dumps(dinner.model_dump(mode="json", exclude_defaults=True)))
    jsonschema.validate(written, json_schema())
    written["expect"][0]["soup_is_served"]["patients"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(written, json_schema())
    assert "\n### `soup_is_served`\n\nThe first result comes before the guests have gone." in reference()
    told = "soup_is_served (patience 10s): The first result comes before the guests have gone."
    assert told in " ".join(explain(dinner).split())


def test_it_judges_and_reports_show_it(dinner: Scenario) -> None:
    outcome = run_scenario(dinner)
    assert outcome.verdict.status is Status.HELD, [r.outcome for r in outcome.verdict.results]
    out = io.StringIO()
    run = judged(dinner.expect, outcome.trace.events)
    print_run(make_console("plain", out), run, "plain")
    assert "held  soup_is_served (patience: 10s)  the guests were served" in out.getvalue()
    assert "soup_is_served: first spoon" in out.getvalue()
    found = json.loads(report([run]))["runs"][0]["expectations"][0]
    assert (found["name"], found["status"]) == ("soup_is_served", "held")
    assert "the guests were served" in html(run)


def test_it_can_be_broken_and_can_be_undecided(dinner: Scenario) -> None:
    late = dinner.workload[0].model_copy(update={"at": 12.0})
    assert run_scenario(dinner.model_copy(update={"workload": [late]})).verdict.status is Status.FAILED
    assert run_scenario(dinner.model_copy(update={"workload": []})).verdict.status is Status.INCONCLUSIVE
