"""`dcompute report`: judge a saved trace again, and write reports of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dcompute.cli import grouped
from dcompute_sim.checks.coverage import coverage
from dcompute_sim.commands import options as o
from dcompute_sim.commands.outputs import exit_status, write_reports
from dcompute_sim.commands.select import entry_of
from dcompute_sim.commands.status import explained
from dcompute_sim.faults import node_faults
from dcompute_sim.report.console import print_run, print_summary
from dcompute_sim.report.coverage_report import print_coverage
from dcompute_sim.report.run_report import RunReport, judged
from dcompute_sim.terminal import make_console
from dcompute_sim.trace import read


@grouped
def report(
    traces: Annotated[list[Path], typer.Argument(help="Saved traces (JSON lines).", exists=True)],
    reports: o.Reports,
    show: o.Show,
) -> None:
    """Judge saved traces by what their scenarios expect today, and write reports. Exit status as of `run`."""
    with explained():
        runs = [_judged(path) for path in traces]
        console = make_console(show.mode)
        for run in runs:
            print_run(console, run, show.mode)
        write_reports(runs, reports)
    if len(runs) > 1:
        print_summary(console, runs)
        if not show.quiet:
            print_coverage(console, coverage(run.events for run in runs), node_faults())
    raise typer.Exit(exit_status(runs))


def _judged(path: Path) -> RunReport:
    trace = read(path)
    scenario = entry_of(trace.started).scenario
    return judged(scenario.expect, trace, description=scenario.description)
