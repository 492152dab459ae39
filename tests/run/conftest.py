"""Scenarios small enough to run by the hundred, and the command line in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sim.scenario import Scenario

SMALL = {
    "version": 1,
    "name": "small",
    "phases": {"storm": "20s", "quiet": "40s"},
    "network": {"latency": "5ms", "jitter": "5ms"},
    "fleet": {"py": {"count": 4, "keepalive": "6s", "ramp": "1s", "work": "100ms"}},
    "workload": [{"phase": "storm", "tasks": 12, "rate": "1/s", "priority": "1..10"}],
    "faults": [
        {"kind": "crash", "phase": "storm", "between": ["3s", "18s"]},
        {"kind": "power_cut", "phase": "storm", "between": ["3s", "18s"]},
    ],
    "expect": [{"dead_within": {"bound": "3s"}}, "no_false_deaths", "callback_once"],
}


@pytest.fixture
def small() -> Scenario:
    """Four nodes of which two may die, for a virtual minute."""
    return Scenario.model_validate(SMALL)


@pytest.fixture
def write_scenario(tmp_path: Path) -> Callable[..., Path]:
    """Writes the small scenario, with some sections replaced, as a file (JSON is YAML)."""
    import json

    def write(name: str = "small.yaml", **sections: object) -> Path:
        path = tmp_path / name
        path.write_text(json.dumps({**SMALL, **sections}))
        return path

    return write


@pytest.fixture
def dcompute(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the `dcompute` command in a folder of its own."""

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from dcompute.cli import main; main()", *map(str, words)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)

    return run
