"""Readings of the boards' memory, in every run, whatever is expected of it.

Each costs the board a collection, so it is part of what the run is: with readings only where something is
expected of them, an expectation would change what it judges, and a trace made without it could not be judged
for it later. They are few: every 10 s, in a long run 30 altogether, and one at the end.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

from simpy import Environment, Event

from dcompute_sim.interfaces.node import Node

_EVERY_S = 10.0
_READINGS = 30


def watch_memory(env: Environment, length_s: float, boards: Sequence[Node]) -> Generator[Event, object, None]:
    """Have, as a process, each board tell its memory, again and again."""
    while True:
        yield env.timeout(max(_EVERY_S, length_s / _READINGS))
        for board in boards:
            board.tell_memory()
