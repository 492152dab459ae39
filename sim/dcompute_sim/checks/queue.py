"""The takes of a run, each with what waited on its node just then; what the order checks look at.

When a program takes a task from its queue only our own node core tells. Of a node that is read off its wire
it cannot be known, so the order checks are undecided about such nodes, beside whatever they say of others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dcompute_sim import trace as t
from dcompute_sim.checks.check import named, of_kinds
from dcompute_sim.trace.replayer import Replay

OF_QUEUES = frozenset({t.NodeStarted, t.TaskDropped, t.TaskReceived, t.TaskTaken, t.TaskWithdrawn})
"""What changes who waits where."""


@dataclass(slots=True)
class Take:
    """A node took a task. `waiting` are the tasks it could have taken, that one included, oldest first."""

    event: t.TaskTaken
    received: t.TaskReceived | None  # None: it took what it never received
    waiting: list[t.TaskReceived]


def takes(trace: Sequence[t.Event]) -> Iterator[Take]:
    """Yield every take of the run, with what was waiting on that node at that moment."""
    replay = Replay()
    for event in of_kinds(OF_QUEUES, trace):
        if type(event) is t.TaskTaken:
            node = replay.nodes[event.node]
            yield Take(event, node.waits_for(event), list(node.waiting))
        replay.take_in(event)


@dataclass(frozen=True, slots=True)
class Unseen:
    """Nodes that were given tasks, of which it cannot be known when they took them."""

    nodes: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.nodes)

    def __str__(self) -> str:
        return f"when {named(self.nodes)} took a task is not known: only the wire is seen"


def unseen(trace: Sequence[t.Event]) -> Unseen:
    """Return the nodes that are read off their wire, and were given tasks."""
    off_wire = {
        event.node
        for event in of_kinds({t.NodeDefined}, trace)
        if isinstance(event, t.NodeDefined) and (event.foreign or event.kind == "board")
    }
    given: dict[str, None] = {}
    for event in of_kinds({t.TaskReceived, t.TaskTaken}, trace) if off_wire else ():
        match event:
            case t.TaskTaken(node=node):
                off_wire.discard(node)
            case t.TaskReceived(node=node) if node in off_wire:
                given[node] = None
    return Unseen(tuple(node for node in given if node in off_wire))
