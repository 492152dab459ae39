"""Folders for the flash of boards, of which nothing stays behind, however a process ends.

Rules:

1. A process keeps the flashes of its boards in one root, which it has locked (flock) for as long as it lives:
   a lock goes with its process, and so says better than a process id, which another may have by now, or an
   age, as a run may take days, who is still there.
2. Whoever makes a root removes those that nobody has locked: they are of runs that were killed. A gigabyte of
   memory was found full of them.
3. The root goes with the last folder in it.

A root may be swept before its maker has locked it; so the maker looks whether it is still there, and else
makes another one. Where locks cannot be had (some network filesystems), nothing is swept.

Rejected: a watching process that clears away, which can be killed as well; an `atexit`, which processes of a
pool do not run, and rule 3 does without.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

_MEMORY = Path("/dev/shm")
_LEAST_ROOM_BYTES = 512 * 1024 * 1024  # hundreds of boards, each updated; containers often have 64 MiB there
_ROOT = "dcompute-flash-"

_roots: dict[Path, int] = {}  # of this process, and the descriptors that hold their locks
_lock = threading.Lock()


def new_folder(name: str) -> Path:
    """Make a fresh folder for the flash of board `name`; whoever asked gives it to `remove_folder`.

    In memory where there is enough of it, as a disk may take half a millisecond for each of a board's files;
    elsewhere, or with TMPDIR set, where temporary files go.
    """
    parent = Path(tempfile.gettempdir())
    if "TMPDIR" not in os.environ and os.access(_MEMORY, os.W_OK | os.X_OK):
        room = os.statvfs(_MEMORY)
        if room.f_bavail * room.f_frsize >= _LEAST_ROOM_BYTES:
            parent = _MEMORY
    parent = parent.resolve()
    with _lock:
        for root in [root for root in _roots if root.parent == parent]:
            with contextlib.suppress(FileNotFoundError):  # a fork of this process has removed it
                return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=root))
            os.close(_roots.pop(root))
        _sweep(parent)
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=_new_root(parent)))


def remove_folder(folder: Path) -> None:
    """Remove what `new_folder` made, and the root after the last one."""
    shutil.rmtree(folder, ignore_errors=True)
    root = folder.parent
    with _lock, contextlib.suppress(OSError):  # there are others in it
        root.rmdir()
        if root in _roots:
            os.close(_roots.pop(root))


@contextlib.contextmanager
def removed_on_error(folder: Path) -> Iterator[None]:
    """Leave no `folder` behind when what is done inside fails."""
    try:
        yield
    except BaseException:
        remove_folder(folder)
        raise


def _new_root(parent: Path) -> Path:
    while True:
        root = Path(tempfile.mkdtemp(prefix=_ROOT, dir=parent))
        with contextlib.suppress(FileNotFoundError):  # swept already
            descriptor = os.open(root, os.O_RDONLY)
            with contextlib.suppress(OSError):  # no locks here
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if root.exists():
                _roots[root] = descriptor
                return root
            os.close(descriptor)


def _sweep(parent: Path) -> None:
    """Remove the roots of processes that are no more."""
    for root in parent.glob(f"{_ROOT}*"):
        with contextlib.suppress(OSError):  # somebody else's, or removed by now
            descriptor = os.open(root, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(root, ignore_errors=True)
            finally:
                os.close(descriptor)
