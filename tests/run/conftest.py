"""Scenarios small enough to run by the hundred, and the command line in a process of its own."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest
from dcompute_sim.scenario import Scenario

from dcompute.cli import main

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


@dataclass(frozen=True)
class Done:
    """What a command said, and its exit status."""

    returncode: int
    stdout: str
    stderr: str


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
def dcompute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """Runs the `dcompute` command in a folder of its own; in this process, for it takes a second to start."""

    def run(*words: object) -> Done:
        out, err = io.StringIO(), io.StringIO()
        with monkeypatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(tmp_path)
            patch.setattr(sys, "argv", ["dcompute", *map(str, words)])
            with pytest.raises(SystemExit) as ended:
                main()
        return Done(int(ended.value.code or 0), out.getvalue(), err.getvalue())

    return run
