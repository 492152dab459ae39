"""`dcompute hunt`: search the ranges of a swarm for runs that fail."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Annotated

import typer

from dcompute.cli import grouped
from dcompute_sim.commands import options as o
from dcompute_sim.commands.shrink_command import shrink_and_tell
from dcompute_sim.commands.status import FAILED, HELD, INVALID, explained
from dcompute_sim.executors import dask_cluster, dask_workers, default_jobs, local_processes
from dcompute_sim.hunt.corpus import Entry
from dcompute_sim.hunt.corpus_folder import keep, read_corpus
from dcompute_sim.hunt.finding_file import write_finding
from dcompute_sim.hunt.hunter import Finding, Hunt, NothingToHunt
from dcompute_sim.hunt.hunting import LITTLE, HuntBounds, carry_out
from dcompute_sim.report.campaign_report import ProgressLine
from dcompute_sim.report.hunt_report import hunt_progress, print_hunt
from dcompute_sim.run import RunOptions
from dcompute_sim.scenario.scenario_model import Scenario
from dcompute_sim.terminal import make_console
from dcompute_sim.yamlfile.units import UnitError, format_fraction, parse_duration, parse_fraction

_DEFAULT_SEED = 1


@grouped
def hunt(
    scenario: Annotated[
        str, typer.Argument(help="A scenario with `random`: a file, or one that ships, such as swarm.")
    ],
    *,
    how: o.How,
    for_: Annotated[
        str | None, typer.Option("--for", help="End after this time, such as 5min. The seed is the hunt's.")
    ] = None,
    runs: Annotated[int | None, typer.Option(min=1, help="End after this many runs.")] = None,
    chance: Annotated[
        str, typer.Option(help="End when the chance that the next run shows a new step is below this.")
    ] = format_fraction(LITTLE),
    corpus: Annotated[
        Path | None,
        typer.Option(help="Folder of runs worth breeding from: those there come first, new ones are added."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for a file of each finding.")] = Path("runs"),
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes; default: one per core.")] = None,
    on: Annotated[str | None, typer.Option(help="Address of a Dask scheduler that does the runs.")] = None,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="End at the first finding.")] = False,
    shrink: Annotated[
        bool, typer.Option("--shrink", help="Shrink each finding to a small scenario beside its file.")
    ] = False,
    show: o.Show,
) -> None:
    """Search for runs that fail: for half of the time random seeds, else variations of what was rare.

    Ends by itself when hardly anything new is to be expected. Exit status: 0 nothing failed, 1 something did,
    2 nothing could be decided.
    """
    bounds = HuntBounds(
        _parsed("--for", parse_duration, for_) if for_ is not None else None,
        runs,
        _parsed("--chance", parse_fraction, chance),
        fail_fast,
    )
    with explained():
        (entry, *more) = how.entries([scenario])
        if more:
            raise typer.BadParameter("this is more than one scenario: choose one with --only")
        search = _hunt_in(entry.scenario, _DEFAULT_SEED if how.seed is None else how.seed, corpus)
        options = replace(how.options(), seed=None, reference=entry.reference, variation=entry.variation)
        files: list[tuple[Finding, Path, bool]] = []

        def on_finding(finding: Finding) -> None:
            names = (out / f"{entry.scenario.name}-hunt-{number}.yaml" for number in count(1))
            path = next(path for path in names if not path.exists())  # those of a hunt before stay
            files.append((finding, path, write_finding(finding, options, path)))

        why, took_s = _carried_out(search, options, bounds, jobs, on, corpus, on_finding)
        print_hunt(make_console(show.mode), search, why, took_s, files)
        for finding, path, _ in files if shrink else ():
            small = path.with_stem(f"{path.stem}-shrunk")
            shrink_and_tell(finding.scenario, options, typer.echo, out=small, jobs=jobs or 1)
    if search.findings:
        raise typer.Exit(FAILED)
    raise typer.Exit(INVALID if search.undecided == search.runs else HELD)


def _hunt_in(scenario: Scenario, seed: int, corpus: Path | None) -> Hunt:
    """Begin a hunt with what the corpus has; say on stderr what of it is left out."""
    given, wrong = read_corpus(corpus) if corpus is not None else ([], [])
    try:
        search = Hunt(scenario, seed, given)
    except NothingToHunt as error:
        raise typer.BadParameter(str(error)) from None
    if search.refused:
        wrong = [*wrong, f"{search.refused} beyond this scenario's ranges"]
    for told in wrong:
        typer.echo(f"left out of the corpus: {told}", err=True)
    return search


def _carried_out(
    search: Hunt,
    options: RunOptions,
    bounds: HuntBounds,
    jobs: int | None,
    on: str | None,
    corpus: Path | None,
    on_finding: Callable[[Finding], None],
) -> tuple[str, float]:
    """Hunt, and tell why the hunt ended, and after how long; a line on stderr says meanwhile how far it
    is."""
    workers = dask_workers(on) if on else jobs or default_jobs()
    make = functools.partial(dask_cluster, on) if on else functools.partial(local_processes, workers)

    def on_kept(kept: Entry) -> None:
        if corpus is not None:
            keep(corpus, kept.scenario)

    began_s = time.perf_counter()
    line = ProgressLine(sys.stderr, time.perf_counter)
    try:
        why = carry_out(
            search,
            options,
            bounds,
            make,
            workers,
            on_kept=on_kept,
            on_finding=on_finding,
            on_progress=lambda now: line.show(lambda took_s: hunt_progress(now, took_s)),
        )
    except KeyboardInterrupt:
        why = "interrupted"
    finally:
        line.clear()
    return why, time.perf_counter() - began_s


def _parsed(option: str, parse: object, text: str) -> float:
    assert callable(parse)
    try:
        value: float = parse(text)
    except (UnitError, ValueError) as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
    return value
