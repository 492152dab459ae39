"""A node id for programs that name none: the same at every start, and different for every process of a
machine.

It has to be stable: a fresh id at each start would leave the old one's last will and retained status behind.
So each process takes the first free numbered slot of its machine and holds it by a file lock, which ends with
it.
"""

from __future__ import annotations

import os
import socket
import tempfile
from typing import IO

from dcompute.node_core import MAX_ID_CHARS

_MAX_SLOTS = 4096
_held: list[IO[str]] = []  # a lock lasts as long as its file is open


def default_node_id() -> str:
    """`<host name>-<slot>`, with the slot held for the life of this process."""
    host = "".join(c if c.isascii() and (c.isalnum() or c in "_.-") else "-" for c in socket.gethostname())
    return f"{host[: MAX_ID_CHARS - 8] or 'node'}-{_take_slot()}"


def _take_slot() -> int:
    try:
        import fcntl
    except ImportError:  # no such locks on Windows: unique there, but not stable
        return os.getpid()
    folder = os.path.join(tempfile.gettempdir(), f"dcompute-slots-{os.getuid()}")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    for slot in range(_MAX_SLOTS):
        lock = open(os.path.join(folder, str(slot)), "w")  # noqa: SIM115 - held open on purpose
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        _held.append(lock)
        return slot
    raise RuntimeError(f"all {_MAX_SLOTS} node slots of this machine are taken: give node_id")
