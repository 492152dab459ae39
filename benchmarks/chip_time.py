"""MicroPython's own benchmark programs on an emulated ESP32, against what real ones were seen to take.

The programs are those of tests/perf_bench in MicroPython's repository, which are not kept here: the
environment variable DCOMPUTE_PERF_BENCH names a folder with them. Each runs unmodified, with N = M = 100 as
run-perfbench.py has it, on a board in virtual time; its score is what it computes per second of the board's
own clock.

By default what is counted is branches, for they are the same in every run, on every machine and build of
MicroPython. A program of few branches and much work (long integers, slices, floats, calls) is taken for
faster than it is: those are named. With one figure for all branches the median cannot come below 1.5,
whichever it is, for the programs lie on both sides of it: a branch of bm_fannkuch has a third of the usual
work around it, one of bm_pidigits twelve times as much.

The chip `esp32-allocations` counts bytes taken of the heap besides (fitted to all ten; of one left out at a
time the median is 1.44, 9 of 10). Whose computing times matter should choose it; it is no default, for bytes
are not alike on both builds, nor can they be made so: lists, tuples and frames take twice as many where words
have 64 bits (bm_nqueens, misc_pystone: 2.00), floats and complex numbers a third or a fifth more (1.24 in
misc_mandel), texts the same, long integers as their digits happen to be cut (bm_pidigits: 1.20), whole
numbers between 2**30 and 2**62 none at all; and the port's total does not say what was for which. Blocks of
the heap would be no better (texts take half as many of the larger ones), and to count them takes a walk
through it.

What between two branches is alike on both builds was tried besides, fitted to all ten and to nine at a time:
whether anything was allocated (median 1.40, 8 of 10), whether the stack is another (1.53, 9), both (1.40, 9;
of those left out five). None of it is worth three more calls for each branch.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

import simpy
from dcompute_sim.chips.chip_timing import chip_named
from dcompute_sim.micropython.board import Board
from dcompute_sim.micropython.lockstep import LockstepBoard
from dcompute_sim.micropython.provision import Emulator, provision
from dcompute_sim.net.network import Network

from benchmarks.figures import Figure

FOLDER = "DCOMPUTE_PERF_BENCH"
SCORES = {
    # micropython/micropython#7850 (September 2021), an ESP32 with that change; higher is better
    "bm_chaos": 244.00,
    "bm_fannkuch": 71.63,
    "bm_fft": 2467.62,
    "bm_float": 3467.35,
    "bm_hexiom": 31.12,
    "bm_nqueens": 2232.22,
    "bm_pidigits": 591.97,
    "misc_aes": 334.52,
    "misc_mandel": 1966.91,
    # micropython/micropython#5673, pystone on an ESP32
    "misc_pystone": 1661.0,
}
_RUN_S = 60.0
_HEAP_BYTES = 256 * 1024  # all that a chip has without PSRAM; the programs must not run short


def measure() -> list[Figure]:
    """All figures."""
    folder = Path(os.environ.get(FOLDER, ""))
    if not (folder / "benchrun.py").is_file():
        raise SystemExit(f"{FOLDER} must name a folder with MicroPython's tests/perf_bench")
    narrow, wide = provision(), provision(word_bits=64)
    figures = _figures(narrow, folder, "esp32")
    for emulator in (narrow, wide) if narrow.word_bits == 32 else (wide,):
        figures += _figures(emulator, folder, "esp32-allocations")
    return figures


def _figures(emulator: Emulator, folder: Path, chip: str) -> list[Figure]:
    factors = {name: _score(emulator, folder, name, chip) / score for name, score in SCORES.items()}
    off = {name: max(factor, 1 / factor) for name, factor in factors.items()}
    of = f"{chip}, {emulator.word_bits} bit"
    figures = [Figure(f"{of}: {name}: speed of the model / published", factors[name], "x") for name in SCORES]
    within = sum(factor <= 2 for factor in off.values())
    beyond = ", ".join(name for name, factor in off.items() if factor > 2)
    return [
        *figures,
        Figure(
            f"{of}: median factor by which it is off", statistics.median(off.values()), "x", "at_most", 1.3
        ),
        Figure(f"{of}: within a factor of 2, of {len(SCORES)} (not: {beyond})", within, "", "at_least", 9),
    ]


def _score(emulator: Emulator, folder: Path, name: str, chip: str) -> float:
    with tempfile.TemporaryDirectory() as scratch:
        main = Path(scratch) / "main.py"
        sources = [(folder / f"{part}.py").read_text(encoding="utf-8") for part in (name, "benchrun")]
        main.write_text("\n".join([*sources, "bm_run(100, 100)\n"]), encoding="utf-8")
        env = simpy.Environment()
        said = _Said()
        board = LockstepBoard(
            env,
            Network(env).host("board"),
            emulator,
            Board(uid=bytes(6), files=[main], heap_bytes=_HEAP_BYTES, timing=chip_named(chip)),
            said,
        )
        try:
            board.start()
            env.run(until=_RUN_S)
        finally:
            board.close()
    for line in said.lines:
        words = line.split()
        if len(words) > 1 and words[0].isdigit() and words[1].isdigit():
            return 1e6 * int(words[1]) / int(words[0])
    raise RuntimeError(f"{name} printed no time: {said.lines}")


class _Said:
    """A listener that keeps what is printed."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def started(self, boot: int, reset_cause: int) -> None:
        pass

    def stopped(self, how: str) -> None:
        pass

    def output(self, line: str) -> None:
        self.lines.append(line)

    def event(self, name: str, fields: dict[str, Any]) -> None:
        pass
