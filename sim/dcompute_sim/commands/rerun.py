"""`dcompute run --watch`: run again whenever a scenario, or a file it includes, has changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import typer

from dcompute.parts import number_of
from dcompute_sim.commands.status import HELD, INTERRUPTED
from dcompute_sim.scenario import ScenarioError, find
from dcompute_sim.scenario.locate import scenario_files
from dcompute_sim.yamlfile.include import files_of

_LOOK_S = 0.3

Stamps = dict[Path, tuple[int, int]]


def watch(names: Sequence[str], run_once: Callable[[], object], say: Callable[[str], None]) -> int:
    """Run, wait for a change, run again, until Ctrl-C; the exit status is the last run's.

    Args:
        names: scenario files, folders of them, names of shipped ones.
        run_once: one run of all, which ends with typer.Exit.
    """
    status = HELD
    stamps: Stamps = {}
    try:
        while True:
            before = stamps_of(names, stamps)
            try:
                run_once()
                status = HELD
            except typer.Exit as ended:
                status = ended.exit_code
            if status == INTERRUPTED:
                return status
            stamps = stamps_of(names, before)
            if stamps == before:  # else something changed during the run
                say(f"Watching {number_of(len(stamps), 'file')}; Ctrl-C ends.")
                stamps = wait_for_change(names, before)
    except KeyboardInterrupt:
        return status


def wait_for_change(
    names: Sequence[str], before: Stamps, sleep: Callable[[float], None] = time.sleep
) -> Stamps:
    """Return what is different from `before`, as soon as something is."""
    while (now := stamps_of(names, before)) == before:
        sleep(_LOOK_S)
    return now


def stamps_of(names: Sequence[str], known: Iterable[Path] = ()) -> Stamps:
    """Return time and size of every file that matters now, and of those known before that are still there.

    A file that is wrong at the moment may not tell what it includes: then `known` says it.
    """
    files = dict.fromkeys([*known, *(file for name in names for file in _files(name))])
    stamps: Stamps = {}
    for file in files:
        try:
            found = file.stat()
        except OSError:
            continue
        stamps[file] = (found.st_mtime_ns, found.st_size)
    return stamps


def _files(name: str) -> list[Path]:
    folder = Path(name)
    try:
        tops = scenario_files(folder) if folder.is_dir() else [find(name)]
    except ScenarioError:
        return []
    return [file for top in tops for file in files_of(top)]
