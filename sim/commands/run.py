"""`dcompute run`: run scenarios, show what happens, judge it, write reports."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from sim.campaign import parse_seeds
from sim.checks.coverage import coverage
from sim.commands import options as o
from sim.commands.jobs import Entry, find_entries
from sim.commands.outputs import exit_status, one_each, write_reports
from sim.commands.replay import check_determinism, replay
from sim.commands.seeds import run_seeds
from sim.commands.several import plans, run_all
from sim.commands.status import ABSENT, WRONG, explained, status_of, worst
from sim.commands.watch import watch as watch_files
from sim.report.console import make_console, print_summary
from sim.report.coverage import print_coverage
from sim.report.run import replay_command
from sim.run import RunOptions, planned
from sim.scenario.faults import NODE_FAULTS

TRACES = Path("runs")

TracePath = Annotated[Path | None, typer.Option("--trace", help="Where the trace goes; by default runs/.")]
Pcap = Annotated[Path | None, typer.Option(help="Write the packets of a virtual run (pcapng).")]
Seeds = Annotated[str | None, typer.Option(help="Run many seeds side by side, as 1..1000.")]
Jobs = Annotated[
    int | None, typer.Option(min=1, help="Processes for virtual runs and --seeds; by default one a core.")
]
On = Annotated[str | None, typer.Option(help="Address of a Dask scheduler that runs --seeds instead.")]
FailFast = Annotated[bool, typer.Option("--fail-fast", help="End --seeds at the first that fails.")]
Replay = Annotated[
    Path | None,
    typer.Option("--replay", help="Repeat the run of this trace; say where it first differs."),
]
CheckDeterminism = Annotated[
    bool, typer.Option("--check-determinism", help="Run twice, in two fresh processes; compare the traces.")
]
Watch = Annotated[bool, typer.Option("--watch", help="Run again whenever a scenario has changed.")]


def run(
    context: typer.Context,
    scenarios: o.Names = None,
    time: o.TimeOption = None,
    target: o.TargetOption = None,
    boards: o.Boards = None,
    broker: o.Broker = None,
    seed: o.Seed = None,
    set_: o.Overrides = None,
    only: o.Only = "",
    sabotage: o.Sabotage = None,
    seeds: Seeds = None,
    jobs: Jobs = None,
    on: On = None,
    fail_fast: FailFast = False,
    replay_: Replay = None,
    check_determinism_: CheckDeterminism = False,
    trace: TracePath = None,
    pcap: Pcap = None,
    html: o.Html = None,
    junit: o.Junit = None,
    json: o.Json = None,
    perfetto: o.Perfetto = None,
    github: o.Github = False,
    quiet: o.Quiet = False,
    plain: o.Plain = False,
    watch: Watch = False,
) -> None:
    """Run scenarios and judge them.

    Exit status: 0 all held, 1 one did not, 2 undecided or invalid, 3 something needed is missing on this
    machine. With --seeds: 1 if any seed failed, 2 if something was put to the test by none of them.
    """
    if watch:
        again = context.command.callback
        assert again is not None
        once = partial(context.invoke, again, **{**context.params, "watch": False})
        raise typer.Exit(watch_files(scenarios or [], once, typer.echo))
    if target and time:
        raise typer.BadParameter("`--target` says which time it is: leave out --time")
    mode = o.console_mode(quiet, plain)
    reports = o.Reports(html, junit, json, perfetto, github)
    options = RunOptions(
        time=time.value if time else None,
        broker=broker,
        seed=seed,
        target=target.value if target else None,
        boards=boards,
        sabotage=tuple(sabotage or ()),
        overrides=tuple(set_ or ()),
        pcap=pcap,
    )
    with explained():
        if replay_ is not None:
            raise typer.Exit(replay(replay_))
        with _told(reports, " ".join(scenarios or [])):
            entries = find_entries(scenarios or [], set_ or (), only)
        console = make_console(mode)
        if check_determinism_:
            raise typer.Exit(max(check_determinism(_as_words(entry, options)) for entry in entries))
        if seeds is not None and options.target == "board":
            raise typer.BadParameter("a board runs one seed at a time: leave out --seeds")
        if seeds is not None:
            if trace or pcap or reports != o.Reports():
                raise typer.BadParameter("traces and reports are of one seed: leave out --seeds")
            chosen = _parsed(seeds)
            status = run_seeds(entries, options, chosen, console, jobs=jobs, on=on, fail_fast=fail_fast)
            raise typer.Exit(status)
        traces = one_each(trace, entries) if trace else [TRACES / f"{e.scenario.name}.jsonl" for e in entries]
        with _told(reports, entries[0].label):
            runs, undone = run_all(plans(entries, options, traces), console, mode, jobs)
        why = {name: str(error) for name, error in undone.items()}
        write_reports(runs, reports, why)
    if len(entries) > 1:
        print_summary(console, runs, why)
        if mode != "quiet":
            print_coverage(console, coverage(run.events for run in runs), NODE_FAULTS)
    raise typer.Exit(worst([exit_status(runs), *map(status_of, undone.values())]))


@contextlib.contextmanager
def _told(reports: o.Reports, name: str) -> Iterator[None]:
    """What could not be run at all is in the reports nevertheless: CI shows them, not the console."""
    try:
        yield
    except (*WRONG, *ABSENT) as error:
        write_reports([], reports, {name: str(error)})
        raise


def _parsed(seeds: str) -> range:
    try:
        return parse_seeds(seeds)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--seeds") from None


def _as_words(entry: Entry, options: RunOptions) -> list[str]:
    """The words after `dcompute run` of this run's command line."""
    own = replace(options, reference=entry.reference, variation=entry.variation)
    return shlex.split(replay_command(planned(entry.scenario, own)))[2:]
