"""Which task is next, and which node gets it: the most urgent one, and the node that has the fewest.

* **Tasks queue by what they want of a node.** All in one queue want the same, so where its first finds no
  node none of the others would: a look at the heads finds the next task, however many wait.
* **Nodes stand in lines by how many tasks they have**, each behind those that came before, and those without
  room in none. So the first that fits in the first line is the least busy one, and equals take turns.
* **The second half of a window is for what is more urgent** than nearly all that is there (`Node.level`). A
  window full of unimportant tasks would leave an urgent one waiting here for a whole task, and then its node,
  which is quicker than any message, would begin another unimportant one first. Those nodes stand in lines of
  their own, by the priority that gets in, behind all that have room for any.
* A task that may be killing nodes gets a node that has nothing else, and that node nothing else meanwhile:
  what else dies with it would be suspected too.

Rejected: one queue for all, which a thousand tasks that no living node can do would have to be passed over in
at each look; and choosing at random, with which two tasks go to one node while another has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from heapq import heappop, heappush
from typing import Any

from dcompute.executor.model import Node, Task

ENVELOPE_BYTES = 1024  # what a message has beside its task, at most but for long ids
RESERVED = 1 << 16
ALONE_AFTER = 2  # losses; from then on a task goes to a node that has nothing else
_LEVELS = 12  # of `Node.level`, from 1: above the highest priority nothing is


def matches(where: Mapping[str, Any], node_id: str, announced: Mapping[str, Any]) -> bool:
    """Whether a node is what `where` wants: each value equal to what it announces (`node_id` is its id), or
    among it where that is a list; a list: any of these; `{"min": a, "max": b}`: a number between."""
    for key, wanted in where.items():
        has = node_id if key == "node_id" else announced.get(key)
        if isinstance(wanted, Mapping):
            if isinstance(has, bool) or not isinstance(has, (int, float)):
                return False
            if not wanted.get("min", has) <= has <= wanted.get("max", has):
                return False
            continue
        choices = wanted if isinstance(wanted, (list, tuple)) else [wanted]
        found = has if isinstance(has, list) else [has]
        if not any(choice in found for choice in choices):
            return False
    return True


class Choice:
    """The tasks that wait, and the nodes that have room."""

    def __init__(self) -> None:
        self.waiting = 0
        self.order = 0
        self._queues: dict[str, list[tuple[int, int, Task]]] = {}  # by what they want of a node
        self._lines: list[dict[str, Node]] = []  # nodes with room, by how many tasks they have
        self._reserves: list[dict[str, Node]] = [{} for _ in range(_LEVELS)]  # with room for the urgent

    def add(self, task: Task) -> None:
        """The task waits for a node."""
        task.waiting = True
        self.waiting += 1
        self.order += 1
        key = f"{task.function} {sorted(task.where.items())} {task.once} {task.lost >= ALONE_AFTER}"
        heappush(self._queues.setdefault(key, []), (-task.priority, self.order, task))

    def remove(self, task: Task) -> None:
        """The task waits no more: it has a node, or is over."""
        self.waiting -= task.waiting
        task.waiting = False

    def pairs(self) -> Iterator[tuple[Task, Node]]:
        """Take out what waits, the most urgent first, each with the node that is to have it; whoever takes it
        gives the task to the node before the next is asked for."""
        stuck: set[str] = set()
        while True:
            best: tuple[int, int, Task] | None = None
            best_key = ""
            for key, queue in self._queues.items():
                while queue and not queue[0][2].waiting:
                    heappop(queue)
                if queue and key not in stuck and (best is None or queue[0][:2] < best[:2]):
                    best, best_key = queue[0], key
            if best is None:
                break
            task = best[2]
            node = next(self.candidates(task), None)
            if node is None:
                stuck.add(best_key)
                continue
            heappop(self._queues[best_key])
            self.remove(task)
            yield task, node
        for key in [key for key, queue in self._queues.items() if not queue]:
            del self._queues[key]

    def candidates(self, task: Task) -> Iterator[Node]:
        """The nodes that can have the task, the least busy first."""
        if task.lost >= ALONE_AFTER:
            lines = self._lines[:1]
        else:
            lines = self._lines + self._reserves[: task.priority + 1]
        for line in lines:
            for node in line.values():
                if task.once and not node.credit:
                    continue
                if task.function and node.functions is not None and task.function not in node.functions:
                    continue
                if node.largest and len(task.body) + ENVELOPE_BYTES > node.largest:
                    continue
                if any(placement.node is node for placement in task.placements):
                    continue
                if not task.where or matches(task.where, node.id, node.announced):
                    yield node

    def rank(self, node: Node, now_s: float) -> None:
        """Put the node where nodes with so much room are, behind the others; nowhere if it has none."""
        if node.bucket >= 0:
            del self._line(node.bucket)[node.id]
        load = len(node.open)
        if not node.alive or node.alone or node.rested_at_s > now_s or load >= node.window:
            node.bucket = -1
            return
        node.bucket = load if load < node.half else RESERVED + node.level()
        self._line(node.bucket)[node.id] = node

    def _line(self, bucket: int) -> dict[str, Node]:
        if bucket >= RESERVED:
            return self._reserves[bucket - RESERVED]
        while len(self._lines) <= bucket:
            self._lines.append({})
        return self._lines[bucket]
