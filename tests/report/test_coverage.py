"""Fault coverage on the terminal."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

from dcompute_sim.checks.coverage import coverage
from dcompute_sim.report.coverage_report import print_coverage
from dcompute_sim.report.run_report import RunReport
from dcompute_sim.terminal import make_console

from .conftest import NewFleet


def shown(print_it: Callable[..., None], *what: object) -> str:
    out = io.StringIO()
    print_it(make_console("plain", out), *what)
    assert all(len(line) <= 80 for line in out.getvalue().splitlines() if "Again" not in line)
    return out.getvalue()


def test_coverage_shows_what_never_occurred(good_run: RunReport) -> None:
    text = shown(print_coverage, coverage([good_run.events]))
    assert re.search(r"^crash +- +- +- +- +2 +- +- *$", text, re.M)
    assert "10 of 12 pairs of fault and state never occurred." in text


def test_kinds_that_were_never_injected_are_named(good_run: RunReport) -> None:
    text = shown(print_coverage, coverage([good_run.events]), ["crash", "hang", "wifi_drop", "clone"])
    assert text.endswith("Never injected: hang, clone.\n")


def test_coverage_of_runs_without_faults(fleet: NewFleet) -> None:
    text = shown(print_coverage, coverage([fleet(faults=0)] * 2))
    assert text == "No fault hit a node in 2 runs.\n"
