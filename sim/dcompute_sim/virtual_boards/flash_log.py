"""What was done to a board's flash, in order, and the flash as a power cut would have left it at any point.

A test of crash consistency lets something write to a board once, with a log (`VirtualBoard(flash_log=...)`),
and then looks at every state in which a power cut could have left the flash:

    before = load(folder)  # ahead of the writing
    for cut, flash in states(read(log), before):
        save(flash, folder)  # now boot a board on it

Two filesystems are imitated. `torn`: what was written before the cut stays, to the byte, as
`VirtualBoard.fail_power_after` leaves it; and a rename onto a file first removes that, as FAT's does.
`littlefs`: a file's new contents take effect as a whole when it is closed or flushed; until then the old
ones, or an empty new file, are there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

Filesystem = Literal["torn", "littlefs"]

FlashState = dict[str, bytes | None]
"""Absolute path on the board -> contents of the file, or None for a folder."""


@dataclass(frozen=True)
class Change:
    """One thing done to the flash.

    Attributes:
        op: `open` (for writing), `write`, `sync` (closed or flushed), `mkdir`, `remove`, `rmdir`, `rename`;
            or `boot`, which changes nothing but says where a life of the chip began.
        path: of the file or folder, absolute on the board; of `write` and `sync`: of the file as opened.
        to: the new name of what was renamed.
        file: numbers the files opened in one life.
        empty: this `open` made the file, or emptied it.
        at: where in the file `data` was written.
    """

    op: str
    path: str = ""
    to: str = ""
    file: int = 0
    empty: bool = False
    at: int = 0
    data: bytes = b""

    @property
    def steps(self) -> int:
        """How much of the `steps` of `VirtualBoard.fail_power_after` it takes."""
        if self.op == "write":
            return len(self.data)
        if self.op == "open":
            return int(self.empty)
        return int(self.op not in ("sync", "boot"))


@dataclass(frozen=True)
class Cut:
    """A point at which the power fails: after so many changes and so many bytes of the next one, a write;
    or 1 of the two steps of a rename onto a file."""

    changes: int
    bytes: int = 0


def read(log: Path) -> list[Change]:
    """Return all changes recorded in `log`; ValueError if it is no such log."""
    changes: list[Change] = []
    paths: dict[int, str] = {}
    with log.open("rb") as file:
        while line := file.readline():
            try:
                fields = json.loads(line)
                n_bytes = int(fields.pop("n", 0))
                change = Change(**fields, data=file.read(n_bytes))
            except (ValueError, TypeError, AttributeError) as error:
                raise ValueError(f"{log}: change {len(changes) + 1} is not one: {error}") from None
            # The log names a file once, where it is opened; after that by its number.
            if change.op == "open":
                paths[change.file] = change.path
            elif change.op in ("write", "sync"):
                change = replace(change, path=paths[change.file])
            changes.append(change)
    return changes


def load(folder: Path) -> FlashState:
    """Return the flash that `folder` stands for, as it is now."""
    return {
        f"/{place.relative_to(folder).as_posix()}": None if place.is_dir() else place.read_bytes()
        for place in sorted(folder.rglob("*"))
    }


def save(flash: FlashState, folder: Path) -> None:
    """Make `folder`, whatever was in it, stand for `flash`."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in sorted(flash):  # folders before what is in them
        content, place = flash[path], folder / path.lstrip("/")
        if content is None:
            place.mkdir()
        else:
            place.write_bytes(content)


def cut_after(changes: Sequence[Change], steps: int) -> Cut:
    """Return the cut that `VirtualBoard.fail_power_after(steps)` makes, counted from the first of
    `changes`."""
    for done, change in enumerate(changes):
        if steps < change.steps:
            return Cut(done, steps)
        steps -= change.steps
    return Cut(len(changes))


def replay(
    changes: Sequence[Change], before: FlashState, cut: Cut, filesystem: Filesystem = "torn"
) -> FlashState:
    """Return the flash that was `before` and saw `changes` until `cut`."""
    machine = _Replay(before, filesystem)
    for change in changes[: cut.changes]:
        machine.do(change)
    if cut.bytes:
        machine.do(_begun(changes[cut.changes], cut.bytes))
    return machine.flash


def states(
    changes: Sequence[Change], before: FlashState, filesystem: Filesystem = "torn"
) -> Iterator[tuple[Cut, FlashState]]:
    """Yield every power cut at a boundary between changes, and in the middle of each write and (torn) of each
    rename onto a file, with what it leaves.

    The first is before all changes, the last after all. One that leaves what the one before it left is not
    told again.
    """
    machine = _Replay(before, filesystem)
    yield Cut(0), dict(machine.flash)
    last = dict(machine.flash)
    for done, change in enumerate(changes):
        begun = 0
        if change.op == "write":
            begun = len(change.data) // 2
        elif change.op == "rename" and filesystem == "torn" and machine.flash.get(change.to) is not None:
            begun = 1
        if begun:
            machine.do(_begun(change, begun))
            if machine.flash != last:
                last = dict(machine.flash)
                yield Cut(done, begun), dict(last)
        machine.do(change)  # what was begun is done again as a whole, to the same effect
        if machine.flash != last:
            last = dict(machine.flash)
            yield Cut(done + 1), dict(last)


def _begun(change: Change, n_bytes: int) -> Change:
    if change.op == "rename":
        return Change("remove", change.to)
    if change.op != "write":
        raise ValueError(f"only a write or rename can be cut in two, not {change.op} {change.path}")
    return replace(change, data=change.data[:n_bytes])


class _Replay:
    """Does changes to a copy of a flash."""

    def __init__(self, before: FlashState, filesystem: Filesystem) -> None:
        self.flash = dict(before)
        self._at_once = filesystem == "torn"
        self._open: dict[int, tuple[str, bytes]] = {}  # number -> its name now, its contents in memory

    def do(self, change: Change) -> None:
        match change.op:
            case "boot":
                self._open.clear()
            case "open":
                old = self.flash.setdefault(change.path, b"") or b""
                self._open[change.file] = (change.path, b"" if change.empty else old)
                if self._at_once:
                    self._store(change.file)
            case "write":
                path, content = self._open[change.file]
                head = content[: change.at].ljust(change.at, b"\0")
                self._open[change.file] = (path, head + change.data + content[change.at + len(change.data) :])
                if self._at_once:
                    self._store(change.file)
            case "sync":
                self._store(change.file)
            case "mkdir":
                self.flash[change.path] = None
            case "remove" | "rmdir":
                del self.flash[change.path]
            case "rename":
                self._rename(change.path, change.to)
            case _:
                raise ValueError(f"unknown change {change.op!r} of {change.path}")

    def _store(self, number: int) -> None:
        path, content = self._open[number]
        self.flash[path] = content

    def _rename(self, old: str, new: str) -> None:
        # A folder takes along what is in it, and a file that is open is written on under its new name.
        for path in [path for path in self.flash if path == old or path.startswith(f"{old}/")]:
            self.flash[new + path[len(old) :]] = self.flash.pop(path)
        for number, (path, content) in self._open.items():
            if path == old or path.startswith(f"{old}/"):
                self._open[number] = (new + path[len(old) :], content)
