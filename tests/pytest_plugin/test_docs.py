"""What docs/ci.md and the workflow say is true of the plugin and of YAML."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def test_the_python_example_passes(pytester: pytest.Pytester) -> None:
    (example,) = blocks("python")
    pytester.makepyfile(example)
    pytester.runpytest().assert_outcomes(passed=2)


def test_workflow_and_recipes_are_yaml_with_something_to_run() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    for text in (workflow, *blocks("yaml")):
        data = YAML(typ="safe").load(text)
        jobs = data.get("jobs", data)
        assert all("steps" in job or "script" in job for job in jobs.values())


def test_every_option_it_names_exists(pytester: pytest.Pytester) -> None:
    known = pytester.runpytest("--help").stdout.str()
    named = set(re.findall(r"--dcompute-[a-z-]+|dcompute_[a-z_]+(?=`)", TEXT)) - {"dcompute_real"}
    assert len(named) == 9
    assert all(name in known for name in named)
