"""The takes of a run, each with what waited on its node just then; what the order checks look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dcompute_sim import trace as t
from dcompute_sim.checks.check import of_kinds
from dcompute_sim.trace.replayer import Replay

OF_QUEUES = frozenset({t.NodeStarted, t.TaskDropped, t.TaskReceived, t.TaskTaken})
"""What changes who waits where."""


@dataclass(slots=True)
class Take:
    """A node took a task. `waiting` are the tasks it could have taken, that one included, oldest first."""

    event: t.TaskTaken
    received: t.TaskReceived | None  # None: it took what it never received
    waiting: list[t.TaskReceived]


def takes(trace: Sequence[t.Event]) -> Iterator[Take]:
    """Every take of the run, with what was waiting on that node at that moment."""
    replay = Replay()
    for event in of_kinds(OF_QUEUES, trace):
        if isinstance(event, t.TaskTaken):
            node = replay.nodes[event.node]
            yield Take(event, node.waits_for(event), list(node.waiting))
        replay.take_in(event)
