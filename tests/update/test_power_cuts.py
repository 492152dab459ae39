"""Power cut at every step of an update that reaches the flash, each one tried: the board boots and reports.

A boot.py of the test's own stands between the firmware and the flash. Before each change of the flash, and in
the middle of each write, it hands over to the test, which copies the flash as it is at that moment.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dcompute.bundle import Bundle
from dcompute.updates import UpdateState

from .conftest import Bench, NewBench

WATCHED = b"""
import builtins
import os
import time
import _board

_open = builtins.open

def step(what):
    _board.report({"ev": "flash", "what": what})
    time.sleep_ms(0)  # the test has its turn

class File:
    def __init__(self, path, mode):
        step("open " + path)
        self._file = _open(path, mode)
    def write(self, data):
        half = len(data) // 2
        self._file.write(data[:half])
        self._file.flush()
        step("half a write")
        self._file.write(data[half:])
        self._file.flush()
        return len(data)
    def close(self):
        self._file.close()
    def __enter__(self):
        return self
    def __exit__(self, *error):
        self._file.close()

def watched_open(path, mode="r"):
    return File(path, mode) if "w" in mode or "a" in mode else _open(path, mode)

def watched(name):
    change = getattr(os, name)
    def call(*paths):
        step(name + " " + " ".join(paths))
        return change(*paths)
    return call

builtins.open = watched_open
for name in ("rename", "remove", "mkdir", "rmdir"):
    setattr(os, name, watched(name))
"""


def bring(board: Bench, bundle: Bundle) -> None:
    """Update the board, and let it confirm."""
    update = board.begin(bundle)
    board.until(lambda: update.progress().over)
    assert update.state is UpdateState.CONFIRMED, update.reason
    board.run_s(2)


def record(board: Bench, make_version: Callable[..., Bundle], into: Path) -> list[str]:
    """Update v1 to v3 over a slot that holds v2; the flash before each step is `into`/<number>."""
    board.start()
    bring(board, make_version("v2"))
    bring(board, make_version("v1b"))
    board.board.power_cut()
    steps = watch(board, into, range(10_000))
    board.start()
    bring(board, make_version("v3"))
    board.board.power_cut()
    return steps


def watch(board: Bench, into: Path, which: range) -> list[str]:
    """Put the test's boot.py on the board, and copy the flash before each step of `which` from then on."""
    boot = board.flash / "boot.py"
    boot.unlink()
    boot.write_bytes(WATCHED)
    steps: list[str] = []
    count = 0
    plain = board.event

    def event(name: str, fields: dict[str, Any]) -> None:
        nonlocal count
        if name == "flash":
            if count in which:
                copy = into / str(len(steps))
                shutil.copytree(board.flash, copy, symlinks=True)
                (copy / "boot.py").unlink()
                steps.append(fields["what"].replace(str(board.flash) + "/", ""))
            count += 1
        plain(name, fields)

    board.event = event  # type: ignore[method-assign]
    return steps


def dead_after(board: Bench, flashes: Path, steps: list[str], allowed: set[str]) -> list[str]:
    """The steps before which a power cut leaves a board that does not report as an allowed version."""
    board.update = None
    dead = []
    for number, step in enumerate(steps):
        board.restore(flashes / str(number))
        count = len(board.seen)
        board.board.start()
        end_s = board.env.now + 120
        told: set[str] = set()
        while board.env.now < end_s and not told:
            board.run_s(0.5)
            told = {
                body["capabilities"]["version"]
                for topic, body in board.seen[count:]
                if body.get("status") == "ready" and topic.endswith("/status")
            }
        if not told or not told <= allowed:
            dead.append(f"{number} {step}: {sorted(told)}")
        board.board.power_cut()
    return dead


def test_a_power_cut_at_any_step_leaves_a_board_that_reports(
    bench: NewBench, make_version: Callable[..., Bundle], tmp_path: Path
) -> None:
    board = bench()
    steps = record(board, make_version, tmp_path)
    kinds = {step.split()[0] for step in steps}
    assert {"open", "half", "rename", "remove"} <= kinds
    assert any("slot.new" in step for step in steps)
    assert any(step.endswith("version.json") for step in steps)
    assert len(steps) > 20, steps
    assert dead_after(board, tmp_path, steps, {"v1b", "v3"}) == []


def test_and_goes_on_to_the_new_version(
    bench: NewBench, make_version: Callable[..., Bundle], tmp_path: Path
) -> None:
    board = bench()
    steps = record(board, make_version, tmp_path)
    for number in range(0, len(steps), 7):
        board.restore(tmp_path / str(number))
        board.start()
        update = board.begin(make_version("v3"))
        board.until(lambda update=update: update.progress().over)
        assert update.state is UpdateState.CONFIRMED, (number, steps[number], update.reason)
        board.update = None
        board.board.power_cut()


RIGHT = '    _sweep(folder, "", offer["files"])\n'
WRONG = (
    RIGHT + '    with open(folder + "version.json", "wb") as file:\n'
    "        file.write(json.dumps(offer).encode())\n"
    '    slot.launcher.store(slot.name, "-", 0)\n'
)
LATER = range(30, 34)  # steps of the wrong order that come when it is wrong already


def test_a_switch_before_all_is_there_is_noticed(
    bench: NewBench, make_version: Callable[..., Bundle], tmp_path: Path
) -> None:
    """The same judgement on an update that writes manifest and slot first."""
    board = bench()
    update = board.flash / "a" / "update" / "step4_sweep.py"
    text = update.read_text()
    assert text.count(RIGHT) == 1
    update.unlink()
    update.write_text(text.replace(RIGHT, WRONG))
    copies = watch(board, tmp_path, LATER)
    board.start()
    board.begin(make_version("v3"))
    board.until(lambda: len(copies) == len(LATER))
    board.board.power_cut()
    assert dead_after(board, tmp_path, copies, {"v1", "v3"}) != []
