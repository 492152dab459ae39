"""`dcompute run`: run scenarios, show what happens, judge it, write reports."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from dcompute.cli import grouped
from dcompute_sim.campaign import parse_seeds
from dcompute_sim.checks.check import Status
from dcompute_sim.checks.coverage import coverage
from dcompute_sim.commands import options as o
from dcompute_sim.commands.outputs import exit_status, one_each, write_reports
from dcompute_sim.commands.page_run import PageWanted, run_with_page
from dcompute_sim.commands.replay import check_determinism, replay
from dcompute_sim.commands.rerun import watch as watch_files
from dcompute_sim.commands.run_many import plans, run_all
from dcompute_sim.commands.seeds import run_seeds
from dcompute_sim.commands.select import SelectedScenario
from dcompute_sim.commands.shrink_command import shrink_and_tell
from dcompute_sim.commands.status import ABSENT, WRONG, explained, status_of, worst
from dcompute_sim.faults import node_faults
from dcompute_sim.report.console import print_summary
from dcompute_sim.report.coverage_report import print_coverage
from dcompute_sim.report.run_report import replay_command
from dcompute_sim.run import RunOptions, planned
from dcompute_sim.scenario import concretise
from dcompute_sim.scenario.feasibility import warnings
from dcompute_sim.terminal import make_console

TRACES = Path("runs")


@dataclass(frozen=True)
class Many:
    """Many runs side by side."""

    seeds: Annotated[str | None, typer.Option(help="Run many seeds side by side, as 1..1000.")] = None
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Processes for virtual runs and --seeds; default: one per core."),
    ] = None
    on: Annotated[
        str | None,
        typer.Option(help="Address of a Dask scheduler that runs --seeds instead."),
    ] = None
    fail_fast: Annotated[
        bool,
        typer.Option("--fail-fast", help="End --seeds at the first that fails."),
    ] = False
    shrink: Annotated[
        bool,
        typer.Option(
            "--shrink", help="Shrink what failed (of --seeds, the lowest) to a small scenario in runs/."
        ),
    ] = False


@dataclass(frozen=True)
class Again:
    """A run is repeated, to see that it is the same."""

    replay: Annotated[
        Path | None,
        typer.Option("--replay", help="Repeat the run of this trace; say where it first differs."),
    ] = None
    check_determinism: Annotated[
        bool,
        typer.Option("--check-determinism", help="Run twice, in two fresh processes; compare the traces."),
    ] = False


@grouped
def run(
    context: typer.Context,
    scenarios: o.Names = None,
    time: o.TimeOption = None,
    *,
    how: o.How,
    many: Many,
    again: Again,
    trace: Annotated[
        Path | None,
        typer.Option(
            "--trace",
            help="Where the trace goes; by default runs/NAME-N.jsonl, to which runs/NAME.jsonl leads.",
        ),
    ] = None,
    no_trace: Annotated[bool, typer.Option("--no-trace", help="Keep no trace.")] = False,
    pcap: Annotated[Path | None, typer.Option(help="Write the packets of a virtual run (pcapng).")] = None,
    reports: o.Reports,
    show: o.Show,
    page: PageWanted,
    watch: Annotated[
        bool, typer.Option("--watch", help="Run again whenever a scenario has changed.")
    ] = False,
) -> None:
    """Run scenarios and judge them.

    Exit status: 0 all held, 1 one did not, 2 undecided or invalid, 3 something needed is missing on this
    machine. With --seeds: 1 if any seed failed, 2 if something was put to the test by none of them.
    """
    names = scenarios or []
    if watch:
        command = context.command.callback
        assert command is not None
        once = partial(context.invoke, command, **{**context.params, "watch": False})
        raise typer.Exit(watch_files(names, once, typer.echo))
    if how.target and time:
        raise typer.BadParameter("`--target` says which time it is: leave out --time")
    if trace and no_trace:
        raise typer.BadParameter("--trace and --no-trace contradict each other")
    if not page.page and (page.pace or page.listen):
        raise typer.BadParameter("--pace and --listen are of a page: add --page")
    options = how.options(time, pcap)
    with explained():
        if again.replay is not None:
            raise typer.Exit(replay(again.replay))
        with _told(reports, " ".join(names)):
            entries = how.entries(names)
        if again.check_determinism:
            raise typer.Exit(max(check_determinism(_as_words(entry, options)) for entry in entries))
        if page.page and (len(entries) > 1 or many.seeds is not None):
            raise typer.BadParameter("a page shows one run: leave out --page, or name one scenario")
        if many.seeds is not None:
            if trace or pcap or reports != o.Reports():
                raise typer.BadParameter("traces and reports are of one seed: leave out --seeds")
            raise typer.Exit(_run_seeds(entries, options, many, show))
        raise typer.Exit(_run_each(entries, options, trace, reports, show, many, page, keep=not no_trace))


def _run_seeds(entries: Sequence[SelectedScenario], options: RunOptions, many: Many, show: o.Show) -> int:
    assert many.seeds is not None
    if options.target == "board":
        raise typer.BadParameter("a board runs one seed at a time: leave out --seeds")
    try:
        seeds = parse_seeds(many.seeds)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--seeds") from None
    console = make_console(show.mode)
    return run_seeds(
        entries, options, seeds, console,
        jobs=many.jobs, on=many.on, fail_fast=many.fail_fast, shrink=many.shrink,
    )  # fmt: skip


def _run_each(
    entries: Sequence[SelectedScenario],
    options: RunOptions,
    trace: Path | None,
    reports: o.Reports,
    show: o.Show,
    many: Many,
    page: PageWanted,
    *,
    keep: bool = True,
) -> int:
    """Run each of them, and tell of all, in the reports too."""
    console = make_console(show.mode)
    traces: Sequence[Path | None] = [TRACES / f"{e.scenario.name}.jsonl" if keep else None for e in entries]
    if trace:
        traces = one_each(trace, entries)
    if not show.quiet:
        for entry in entries:
            for said in warnings(concretise(entry.scenario)):
                typer.echo(f"warning: {entry.label}: {said}", err=True)
    with _told(reports, entries[0].label):
        wanted = plans(entries, options, traces, numbered=trace is None)
        undone: dict[str, Exception] = {}
        if page.page:
            runs = [run_with_page(wanted[0], page, console, show.mode).run]
        else:
            runs, undone = run_all(wanted, console, show.mode, many.jobs)
    why = {name: str(error) for name, error in undone.items()}
    write_reports(runs, reports, why)
    if len(entries) > 1:
        print_summary(console, runs, why)
        if not show.quiet:
            print_coverage(console, coverage(run.events for run in runs), node_faults())
    if many.shrink:
        failed = {(run.name, run.started.seed) for run in runs if run.verdict.status is Status.FAILED}
        for plan in wanted:
            seed = plan.entry.scenario.seed if options.seed is None else options.seed
            if (plan.entry.scenario.name, seed) in failed:
                shrink_and_tell(plan.entry.scenario, plan.options, typer.echo, jobs=many.jobs or 1)
    return worst([exit_status(runs), *map(status_of, undone.values())])


@contextlib.contextmanager
def _told(reports: o.Reports, name: str) -> Iterator[None]:
    """Tell the reports, too, of what cannot be run at all: CI shows them, not the console."""
    try:
        yield
    except (*WRONG, *ABSENT) as error:
        write_reports([], reports, {name: str(error)})
        raise


def _as_words(entry: SelectedScenario, options: RunOptions) -> list[str]:
    """Return the words after `dcompute run` of this run's command line."""
    own = replace(options, reference=entry.reference, variation=entry.variation)
    return shlex.split(replay_command(planned(entry.scenario, own)))[2:]
