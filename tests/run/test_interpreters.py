"""Ten runs in ten processes that hash differently, on every interpreter that can be had: one digest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def test_every_interpreter_runs_the_same() -> None:
    """With `-rP` pytest shows which took part. That there was no second one is a failure (exit status 3)."""
    argv = [sys.executable, "-m", "benchmarks.interpreters"]
    ran = subprocess.run(argv, cwd=PROJECT, capture_output=True, text=True, timeout=280, check=False)
    print(ran.stdout)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    *runs, verdict = [line for line in ran.stdout.splitlines() if not line.startswith("takes no part")]
    assert len(runs) == 10
    assert len({line.split()[3] for line in runs}) > 1, "one version of Python"
    assert len({line.split()[4] for line in runs}) == 1, "one digest"
    assert verdict.startswith("one digest on Python ")
