"""`dcompute shrink`: make the smallest scenario out of a failing run that still fails for the same reason."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from dcompute.cli import grouped
from dcompute.parts import number_of
from dcompute_sim.commands import options as o
from dcompute_sim.commands.select import entry_of, options_of
from dcompute_sim.commands.status import INVALID, explained
from dcompute_sim.executors import local_processes
from dcompute_sim.run import RunOptions
from dcompute_sim.scenario import Scenario
from dcompute_sim.shrink import story
from dcompute_sim.shrink.search import MAX_RUNS, NothingToShrink, Search, size
from dcompute_sim.trace import read

FOLDER = Path("runs")


@grouped
def shrink(
    what: Annotated[
        str, typer.Argument(metavar="TRACE_OR_SCENARIO", help="A trace of a failing run, or a scenario.")
    ],
    *,
    how: o.How,
    out: Annotated[
        Path | None, typer.Option(help="The file to write; default: runs/NAME-SEED-shrunk.yaml.")
    ] = None,
    max_runs: Annotated[
        int, typer.Option(min=1, help="Stop after this many runs, with what has been reached.")
    ] = MAX_RUNS,
    jobs: Annotated[
        int, typer.Option(min=1, help="Processes that try candidates; worth it when a run takes seconds.")
    ] = 1,
) -> None:
    """Shrink a failing run to a small explicit scenario that fails for the same reason.

    Exit status: 0 written, 2 the run does not fail, or not from the file alone.
    """
    with explained():
        if what.endswith(".jsonl"):
            started = read(Path(what)).started
            scenario, options = entry_of(started).scenario, options_of(started)
        else:
            (entry, *more) = how.entries([what])
            if more:
                raise typer.BadParameter("this is more than one scenario: choose one with --only")
            scenario, options = entry.scenario, replace(how.options(), reference=what)
        if not shrink_and_tell(scenario, options, typer.echo, out=out, max_runs=max_runs, jobs=jobs):
            raise typer.Exit(INVALID)


def shrink_and_tell(
    scenario: Scenario,
    options: RunOptions,
    tell: Callable[[str], None],
    *,
    out: Path | None = None,
    max_runs: int = MAX_RUNS,
    jobs: int = 1,
) -> bool:
    """Shrink one run, write its file, and say how that went; whether the file fails for the same reason."""
    with _executor(jobs) as executor:
        search = Search(scenario, options, max_runs=max_runs, executor=executor, width=jobs, on_step=tell)
        try:
            shrunk = search.run()
        except NothingToShrink as error:
            tell(f"{scenario.name}: {error}")
            return False
    path = out or story.default_path(shrunk, FOLDER)
    same = story.write(shrunk, path)
    tell(
        f"wrote {path}: {size(shrunk.scenario)}, after {number_of(shrunk.runs, 'run')} and "
        f"{shrunk.cpu_s:.1f} s"
    )
    if not same:
        tell("run from the file alone it does not fail the same way")
    return same


@contextlib.contextmanager
def _executor(jobs: int) -> Iterator[Executor | None]:
    if jobs == 1:
        yield None
        return
    with local_processes(jobs) as executor:
        yield executor
