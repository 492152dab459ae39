"""The tasks waiting on each node, replayed from the trace; what the order checks look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dcompute_sim import trace as t
from dcompute_sim.checks.check import of_kinds

_OF_QUEUES = frozenset({t.NodeStarted, t.TaskDropped, t.TaskReceived, t.TaskTaken})


@dataclass(slots=True)
class Take:
    """A node took a task. `waiting` are the tasks it could have taken, that one included, oldest first."""

    event: t.TaskTaken
    received: t.TaskReceived | None  # None: it took what it never received
    waiting: list[t.TaskReceived]


def takes(trace: Sequence[t.Event]) -> Iterator[Take]:
    """Every take of the run, with what was waiting on that node at that moment.

    A boot empties the node's queue. The same task received twice (QoS 1 redelivery) waits twice.
    """
    queues: dict[str, list[t.TaskReceived]] = {}
    for event in of_kinds(_OF_QUEUES, trace):
        match event:
            case t.TaskReceived(node=node):
                queues.setdefault(node, []).append(event)
            case t.TaskTaken(node=node):
                queue = queues.setdefault(node, [])
                same = (
                    waits for waits in queue if (waits.task, waits.attempt) == (event.task, event.attempt)
                )
                received = next(same, None)
                yield Take(event, received, list(queue))
                if received is not None:
                    queue.remove(received)
            case t.TaskDropped(node=node, task=task):
                queue = queues.setdefault(node, [])
                dropped = next((waiting for waiting in reversed(queue) if waiting.task == task), None)
                if dropped is not None:
                    queue.remove(dropped)
            case t.NodeStarted(node=node):
                queues.pop(node, None)
