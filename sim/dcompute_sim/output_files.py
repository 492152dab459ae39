"""Files that a run leaves behind: a sentence if they cannot be written, and never two runs in one.

Rules
1. Whatever keeps a file from being written (a read-only folder, a full disk, no more descriptors) is an
   OutputError, which names the file; the command ends with it and status 3.
2. A trace has a file of its own. Without a name it gets the next free one, `NAME-1.jsonl`, `NAME-2.jsonl`,
   made so that no two runs can get the same; `NAME.jsonl` is a link to the newest. With a name it is locked
   as long as the run lasts.
3. A trace, of events or packets, that could not be written to its end is removed: half a trace would be
   judged as a whole one. The run itself goes on meanwhile, as it would without. So is that of a run that
   could not begin.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from dcompute_sim.whole_file import write_whole


class OutputError(RuntimeError):
    """A file that is to be left behind cannot be written; the message says which and why."""


@contextlib.contextmanager
def written(path: Path) -> Iterator[None]:
    """Turn what keeps `path` from being written into OutputError."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{error.filename or path} cannot be written: {error.strerror or error}") from None


def write_output(path: Path, text: str) -> None:
    """Write a report or the like, whole or not at all, and the folders above it. Raises OutputError."""
    with written(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():  # a pipe, /dev/stdout
            path.write_text(text, encoding="utf-8")
            return
        try:
            write_whole(path.resolve(), text.encode())
        except OSError as error:  # of a name that nobody asked for
            raise OSError(error.errno, error.strerror, str(path)) from None


class TraceFile:
    """The file of one run's trace, or of its packets; a context that closes it.

    Args:
        path: its name.
        numbered: put the next free number behind the name, and let the name itself lead there.

    Raises:
        OutputError: it cannot be opened, or (at the end) could not be written whole.
    """

    def __init__(self, path: Path, *, numbered: bool = False) -> None:
        with written(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self.path, descriptor = _numbered(path) if numbered else (path, _locked(path))
        self._file = open(descriptor, "wb")  # noqa: SIM115 - closed by __exit__
        self._named = path if numbered else None
        self._failure: OSError | None = None

    def write(self, data: bytes) -> None:
        """Append to it; after the first failure, nothing."""
        if self._failure is None:
            try:
                self._file.write(data)
            except OSError as error:
                self._failure = error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        try:
            self._file.close()
        except OSError as error:
            self._failure = self._failure or error
        if self._failure is not None:
            if self.path.is_file():
                self.path.unlink(missing_ok=True)
            why = self._failure.strerror or self._failure
            raise OutputError(f"{self.path} cannot be written: {why}; it was removed")
        if kind is not None and self.path.is_file() and not self.path.stat().st_size:
            self.path.unlink(missing_ok=True)
        elif self._named is not None:
            _lead(self._named, self.path)


def _numbered(path: Path) -> tuple[Path, int]:
    for number in itertools.count(1 + _highest(path)):
        own = path.with_name(f"{path.stem}-{number}{path.suffix}")
        with contextlib.suppress(FileExistsError):  # another run has just taken it
            return own, os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    raise AssertionError("numbers have no end")


def _highest(path: Path) -> int:
    """Return the highest number taken."""
    rests = (
        entry.name.removeprefix(f"{path.stem}-").removesuffix(path.suffix)
        for entry in os.scandir(path.parent)
        if entry.name.startswith(f"{path.stem}-") and entry.name.endswith(path.suffix)
    )
    return max((int(rest) for rest in rests if rest.isdigit()), default=0)


def _locked(path: Path) -> int:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise OSError(errno.EBUSY, "another run writes it now; give each its own --trace", path) from None
    if path.is_file():
        os.ftruncate(descriptor, 0)
    return descriptor


def _lead(name: Path, target: Path) -> None:
    """Let `name` be a link to `target`, in one step; where there are no links, there is none."""
    with contextlib.suppress(OSError, NotImplementedError):
        fresh = target.with_name(f".{target.name}.link")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target.name)
        fresh.replace(name)
