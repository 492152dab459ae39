"""The schema that editors use agrees with the loader, and what ships is what is generated."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from dcompute_sim.checks import CHECKS
from dcompute_sim.scenario import KINDS, Problem, ScenarioError, find, load, shipped
from dcompute_sim.scenario.reference import DOCUMENT, SCHEMA, TUTORIAL, reference
from dcompute_sim.scenario.scenario_model import Scenario
from dcompute_sim.scenario.schema import json_schema, json_schema_text
from dcompute_sim.scenario.write import starter
from ruamel.yaml import YAML

REMAKE = "run: python -m dcompute_sim.scenario.reference"


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def _as_json(text: str) -> Any:
    """A file as an editor's language server sees it: keys of mappings are texts."""
    return json.loads(json.dumps(YAML(typ="safe", pure=True).load(text)))


def test_the_shipped_schema_is_the_generated_one() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == json_schema_text(), REMAKE


def test_the_documents_reference_is_the_generated_one() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == reference(), REMAKE


def test_the_reference_names_everything() -> None:
    text = reference()
    for word in (*KINDS, *CHECKS, *Scenario.model_fields, "include", "vars", "matrix"):
        assert f"`{word}`" in text, word


def test_valid_files_are_valid_to_the_schema(validator: jsonschema.Draft202012Validator, full: str) -> None:
    texts = {name: find(name).read_text(encoding="utf-8") for name in shipped()}
    for name, text in (texts | {"full": full, "starter": starter("s")}).items():
        errors = list(validator.iter_errors(_as_json(text)))
        assert errors == [], f"{name}: {errors[0].message} at {errors[0].json_path}"


BAD = [
    "brokr: model",
    "duration: 60",
    "time: vitual",
    "fleet: {py: {cuont: 3}}",
    "fleet: {py: {count: '3'}}",
    "fleet: {py: {keepalive: 10}}",
    "fleet: {9a: {}}",
    "network: {loss: 0.5}",
    "workload: [{tasks: 3, priority: 11}]",
    "workload: [{tasks: 3, priority: {11: 1}}]",
    "workload: [{tasks: 3, target: rndom}]",
    "workload: [{tasks: 3, when: task_takn}]",
    "faults: [{kind: crsh, at: 3s}]",
    "faults: [{kind: crash, at: 3s, for: 1s}]",
    "faults: [{kind: crash, at: 3}]",
    "expect: [dead_withn]",
    "expect: [dead_within: {bund: 2s}]",
    "expect: [latency]",
    "matrix: {seed: 3}",
]


@pytest.mark.parametrize("line", BAD)
def test_schema_and_loader_refuse_the_same(
    validator: jsonschema.Draft202012Validator,
    problems: Callable[..., list[Problem]],
    minimal: str,
    line: str,
) -> None:
    text = (
        "".join(kept for kept in minimal.splitlines(True) if kept.split(":")[0] != line.split(":")[0])
        + line
        + "\n"
    )
    assert not validator.is_valid(_as_json(text))
    assert problems(text)


@pytest.mark.parametrize(
    "line",
    [
        "fleet: {py: {count: '${n}'}}",
        "duration: ${n}s",
        "time: ${n}",
        "workload: [{tasks: '${n}', rate: '${n}/s'}]",
    ],
)
def test_variables_are_valid_anywhere(validator: jsonschema.Draft202012Validator, line: str) -> None:
    assert validator.is_valid(_as_json(f"version: 1\n{line}\n"))


def test_every_key_is_explained() -> None:
    schema = json_schema()
    for name, definition in {"scenario": schema, **schema["$defs"]}.items():
        for form in [definition, *definition.get("anyOf", [])]:
            for key, entry in form.get("properties", {}).items():
                explained = (
                    "description" in entry
                    or "$ref" in entry
                    or key in ("kind", "min", "max", "mean", "median")
                )
                assert explained or name in ("Loop", "Outstanding", "Priority"), f"{name}.{key}"


def _blocks() -> list[str]:
    tutorial = TUTORIAL.read_text(encoding="utf-8")
    return [part.partition("```")[0] for part in tutorial.split("```yaml\n")[1:]]


def test_the_tutorials_examples_load(tmp_path: Path) -> None:
    """Each block lies over the ones before it, as a reader who follows along would have it."""
    blocks = _blocks()
    assert len(blocks) >= 8
    (tmp_path / "site.yaml").write_text("version: 1\nname: site\nduration: 9s\nfleet: {a: {}}\n")
    below = ""
    for number, block in enumerate(blocks):
        alone = "include:" in block or "version:" in block
        path = tmp_path / f"block{number}.yaml"
        path.write_text(block if alone or not below else f"include: {below}\n{block}")
        overrides = ["duration=100s"] if "phases" in block else []
        overrides += ["vars.keepalive=9s", "broker=model"] if "matrix" in block else []
        try:
            load(path, overrides)
        except ScenarioError as error:
            pytest.fail(f"block {number}:\n{block}\n{error}")
        below = path.name if "phases" not in block else below


def test_the_tutorials_error_is_a_real_one(problems: Callable[..., list[Problem]], minimal: str) -> None:
    (found,) = problems(
        "version: 1\nname: p\nduration: 9s\n\n\nfleet:\n  pump:\n    count: 5\n    keepalve: 10s\n"
    )
    text = TUTORIAL.read_text(encoding="utf-8")
    for line in str(found).splitlines()[1:3]:
        assert line in text
    assert "pump-room.yaml:9:5: unknown key `keepalve`" in text
    assert str(found).splitlines()[0].endswith(":9:5: unknown key `keepalve`")
