"""Every kind of report file by its name, for whoever writes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sim.report.github import workflow_commands
from sim.report.html import html
from sim.report.json_report import report
from sim.report.junit import junit
from sim.report.perfetto import perfetto
from sim.report.run import Run


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of report. `many`: one file can hold several runs; else there is a file a run."""

    suffix: str
    many: bool
    render: Callable[[Sequence[Run]], str]


def _lines(runs: Sequence[Run]) -> str:
    return "".join(f"{line}\n" for run in runs for line in workflow_commands(run, run.started.scenario))


FORMATS: dict[str, Format] = {
    "html": Format(".html", False, lambda runs: html(*runs)),
    "junit": Format(".junit.xml", True, junit),
    "json": Format(".report.json", True, report),
    "github": Format(".github.txt", True, _lines),
    "perfetto": Format(".perfetto.json", False, lambda runs: perfetto(*runs)),
}
