"""`dcompute view`: saved traces as a web page, moment by moment."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Annotated

import typer

from dcompute_sim.checks.verdict import judge
from dcompute_sim.commands.broker_again import in_background
from dcompute_sim.commands.page_options import Listen, listening
from dcompute_sim.commands.select import entry_of
from dcompute_sim.commands.status import explained
from dcompute_sim.report.comparison import Side, Sides
from dcompute_sim.report.run_report import RunReport, replay_command
from dcompute_sim.scenario import ScenarioError
from dcompute_sim.trace import read
from dcompute_sim.worker_processes import WorkerProcesses


def view(
    traces: Annotated[
        list[Path], typer.Argument(help="A saved trace (JSON lines), or two.", exists=True, dir_okay=False)
    ],
    listen: Listen = "",
) -> None:
    """Show a saved trace as a web page: every moment of it, who was what then, and why. Two: side by side.

    The page is served on this machine only, to whoever has the address that is printed. Ctrl-C ends.
    """
    if len(traces) > 2:
        raise typer.BadParameter(f"one trace or two, not {len(traces)}")
    from dcompute_sim.page.compared import compared
    from dcompute_sim.page.page_server import Site, serving
    from dcompute_sim.page.shown_run import Facts, ShownRun

    host, port = listening(listen)
    with explained(), contextlib.ExitStack() as at_the_end:
        workers = WorkerProcesses(1, nice=True)
        at_the_end.callback(workers.end)
        reports = [_judged(path) for path in traces]
        names = [report.name for report in reports]
        if len(traces) == 2 and names[0] == names[1]:
            names = [path.stem for path in traces]
        runs = [
            ShownRun(
                Facts(name, report.description, report.started),
                report.events,
                report,
                in_background(path, workers),
            )
            for path, name, report in zip(traces, names, reports, strict=True)
        ]
        sides = [Side(name, it.verdict, it.events) for name, it in zip(names, reports, strict=True)]
        site = Site(runs, compared(Sides(*sides)) if len(sides) == 2 else None)
        with serving(site, host, port) as server:
            try:
                typer.echo(f"Page: {server.address}\nCtrl-C ends.")
                threading.Event().wait()
            except KeyboardInterrupt:
                return


def _judged(path: Path) -> RunReport:
    """Judge a trace by what its scenario expects today; a trace whose scenario is not at hand is shown
    without a verdict but what is judged of every run."""
    trace = read(path)
    try:
        scenario = entry_of(trace.started).scenario
    except (ScenarioError, typer.BadParameter):
        why = f"its scenario {trace.started.scenario} is not here, so nobody knows what was expected of it"
        typer.echo(f"{path}: {why}", err=True)
        return RunReport(trace.events, judge([], trace.events, why), replay_command(trace.started))
    verdict = judge(scenario.expect, trace.events)
    return RunReport(trace.events, verdict, replay_command(trace.started), description=scenario.description)
