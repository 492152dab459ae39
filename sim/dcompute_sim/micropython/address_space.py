"""Processes whose heap and stack lie at the same addresses in every run.

MicroPython's collector takes each word that looks like the address of a block for one (py/gc.c): words of
the C stack, and the bytes of every block it keeps. Where the kernel puts heap and stack at random, other
words look like that in each run, so that now and then a block lives on which another run has freed. While
there is room nobody sees it; in a heap that is full to the last block one run gets its block and the next a
MemoryError, and two runs of a scenario have two digests.

Only the kernel can say where they lie, and only before the process is started: personality(2), which a
child inherits. It belongs to a thread, so what other threads start meanwhile is not touched. Rejected:
starting through setarch(8), which is another program that has to be there and costs an exec a board; a
`preexec_fn`, after which `subprocess` must copy the parent's memory, unsafe beside threads besides.

A system that has no such call, or a container that forbids it (Docker's default profile of system calls
allows five values of personality, and this one is not among them), starts processes as ever: whatever does
not live in a full heap repeats as everywhere.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_ADDR_NO_RANDOMIZE = 0x0040000  # sys/personality.h
_ASK_ONLY = 0xFFFFFFFF


@contextmanager
def fixed_addresses() -> Iterator[bool]:
    """Give what this thread starts in the block fixed addresses; yield whether the kernel agreed."""
    if not sys.platform.startswith("linux"):
        yield False
        return
    personality = ctypes.CDLL(None).personality
    personality.argtypes = [ctypes.c_ulong]
    before = personality(_ASK_ONLY)
    agreed = before != -1 and personality(before | _ADDR_NO_RANDOMIZE) != -1
    try:
        yield agreed
    finally:
        if agreed:
            personality(before)


def can_fix_addresses() -> bool:
    """Say whether the kernel agrees."""
    with fixed_addresses() as agreed:
        return agreed
