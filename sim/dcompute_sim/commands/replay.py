"""`dcompute run --replay` and `--check-determinism`: does a run repeat to the byte, and where does it not."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

import typer

from dcompute.parts import number_of
from dcompute_sim.commands.select import entry_of, options_of
from dcompute_sim.commands.status import FAILED, HELD, INVALID
from dcompute_sim.run import run_scenario
from dcompute_sim.trace import Trace, encode_event, read, repeats

_HASH_SEEDS = ("1", "2")  # of str.__hash__, and so of the order of sets: it must not matter


def replay(path: Path) -> int:
    """Repeat the run a trace was made by; say `identical`, or where it first differs. The exit status."""
    saved = read(path)
    started = saved.started
    if started.time == "real":
        typer.echo(f"{path} is of a run in real time, which never repeats to the byte", err=True)
        return INVALID
    again = run_scenario(entry_of(started).scenario, options_of(started)).trace
    return _compare(str(path), _lines(saved), "again", _lines(again))


def check_determinism(arguments: Sequence[str]) -> int:
    """Run `dcompute run ARGUMENTS` in two fresh processes that hash differently, and compare their traces."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        paths = [Path(folder) / f"{seed}.jsonl" for seed in _HASH_SEEDS]
        processes = [
            stack.enter_context(_fresh_run(arguments, path, seed))
            for path, seed in zip(paths, _HASH_SEEDS, strict=True)
        ]
        for process, path in zip(processes, paths, strict=True):
            told = process.communicate()[0]
            if process.returncode not in (HELD, FAILED, INVALID) or not path.exists():  # its own: they race
                typer.echo(told, err=True)
                return process.returncode or INVALID
        names = [f"PYTHONHASHSEED={seed}" for seed in _HASH_SEEDS]
        traces = [_lines(read(path)) for path in paths]
    return _compare(names[0], traces[0], names[1], traces[1])


def _fresh_run(arguments: Sequence[str], trace: Path, hash_seed: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from dcompute.cli import main; main()", "run", *arguments]
    return subprocess.Popen(
        [*command, "--quiet", "--trace", str(trace)],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _lines(trace: Trace) -> list[tuple[int, bytes]]:
    """Return number and text of each line that a repeat has to the byte."""
    return [(number, encode_event(event)) for number, event in enumerate(trace, 1) if repeats(event)]


def _compare(
    name: str, one: Sequence[tuple[int, bytes]], other_name: str, other: Sequence[tuple[int, bytes]]
) -> int:
    for (number, line), (other_number, other_line) in zip_longest(one, other, fillvalue=(0, b"")):
        if line != other_line:
            number = number or other_number
            width = max(len(name), len(other_name))
            typer.echo(f"first difference in line {number} of the trace:")
            for whose, text in ((name, line), (other_name, other_line)):
                typer.echo(f"  {whose:<{width}}  {(text or b'(nothing: it ended before)').decode()}")
            return FAILED
    typer.echo(f"identical: {number_of(len(one), 'event')}")
    return HELD
