"""Which task is next, and which node gets it: the most urgent one, and the node that has the fewest.

* **Tasks queue by what they want of a node**: all that `_fits` asks, so `_wants` has to name it. All in one
  queue want the same, so where its first finds no node none of the others would: a look at the heads finds
  the next task, however many wait. What changes its mind while it waits (it was lost once more, or a node on
  which it is not to be a second time is done with it) queues anew. Sizes are as many as tasks: they count as
  the next in a row of eight an octave, for both the queue and what a node takes, or each would have a queue
  of its own. A task that is too large for every board held up all others of its kind before.
* **Nodes stand in lines by how many tasks they have**, each behind those that came before, and those without
  room in none. So the first that fits in the first line is the least busy one, and equals take turns.
* **The second half of a window is for what is more urgent** than nearly all that is there (`Node.level`). A
  window full of unimportant tasks would leave an urgent one waiting here for a whole task, and then its node,
  which is quicker than any message, would begin another unimportant one first. Those nodes stand in lines of
  their own, by the priority that gets in, behind all that have room for any.
* **Where a window is full nonetheless, the least urgent in it is recalled**: its node gives it back if it has
  not begun, and it waits here again where it was. Full nodes stand in lines by what they would give back;
  what has begun (as far as that can be guessed) comes last, as asking for it is in vain.
* A task that may be killing nodes gets a node that has nothing else, and that node nothing else meanwhile:
  what else dies with it would be suspected too.

Rejected: one queue for all, which a thousand tasks that no living node can do would have to be passed over in
at each look; and choosing at random, with which two tasks go to one node while another has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from heapq import heappop, heappush
from sys import intern

from dcompute.executor.model import LEVELS, Node, Placement, Task

ENVELOPE_BYTES = 1024  # what a message has beside its task, at most but for long ids
RECALL_S = 0.25  # then what was recalled is at work, or the word was lost, and another one is asked for
RECALLS = 16  # under way at a time for tasks that want the same of a node
ALONE_AFTER = 2  # losses; from then on a task goes to a node that has nothing else
_RESERVED = 1 << 16
_FULL = 1 << 17
_SIZE_BITS = 4
_Entry = tuple[int, int, int, Task]  # of a queue: -priority, order, and a number of its own


def matches(where: Mapping[str, object], node_id: str, announced: Mapping[str, object]) -> bool:
    """Tell whether a node is what `where` wants: each value equal to what it announces (`node_id` is its id),
    or among it where that is a list; a list: any of these; `{"min": a, "max": b}`: a number between."""
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


def check_where(where: Mapping[str, object]) -> None:
    """Raise ValueError for bounds that are none: a misspelt one would let in every node that has the key."""
    for key, wanted in where.items():
        if isinstance(wanted, Mapping):
            for name, bound in wanted.items():
                number = isinstance(bound, (int, float)) and not isinstance(bound, bool)
                if name not in ("min", "max") or not number:
                    raise ValueError(f"where {key!r}: {{'min': 1, 'max': 2}} with numbers, not {wanted!r}")


def _message_bytes(task: Task) -> int:
    """Return how large its message is at most, rounded up to a number of so many bits that are not 0."""
    size = len(task.body) + ENVELOPE_BYTES
    step = 1 << size.bit_length() - _SIZE_BITS
    return -(-size // step) * step


def _wants(task: Task) -> str:
    """Name all that `_fits` and `Choice.candidates` ask of a node for the task, but for its priority."""
    not_on = ",".join([placement.node.id for placement in task.placements])
    where = sorted(task.where.items())
    alone = task.lost >= ALONE_AFTER
    return intern(f"{task.function} {where} {task.once} {alone} {task.message_bytes} {not_on}")


def _fits(task: Task, node: Node) -> bool:
    """Tell whether the task may be given to the node, had it room."""
    if task.once and not node.credit:
        return False
    if task.function and node.functions is not None and task.function not in node.functions:
        return False
    if node.largest and task.message_bytes > node.largest:
        return False
    if any(placement.node is node for placement in task.placements):
        return False
    return not task.where or matches(task.where, node.id, node.announced)


def unfit(task: Task, nodes: Iterable[Node]) -> str:
    """Tell why the task waits, in words, when no living node could have it, were it idle; else "". One that
    may come back from a node is that node's."""
    living = (node for node in nodes if node.alive)
    first = next(living, None)  # mostly this one would do: no look at the others, for this is asked often
    if task.placements or first is None or _fits(task, first) or any(_fits(task, node) for node in living):
        return ""
    wants = [f"function {task.function!r}"] if task.function else []
    wants += [f"where {task.where!r}"] if task.where else []
    wants += ["to run once"] if task.once else []
    wants += [f"{len(task.body):,} bytes"]
    return f"no node that is there can do task {task.id} ({', '.join(wants)})"


def _drop_stale(key: str, queue: list[_Entry]) -> None:
    """Drop what does not wait any more, or waits in another queue, from the head of one."""
    while queue and not (queue[0][-1].waiting and queue[0][-1].wants == key):
        heappop(queue)


class Choice:
    """The tasks that wait, and the nodes that have room."""

    def __init__(self) -> None:
        self.waiting = 0
        self.order = 0
        self.recall_due_s: float | None = None
        self._queues: dict[str, list[_Entry]] = {}  # by what they want of a node
        self._lines: list[dict[str, Node]] = []  # nodes with room, by how many tasks they have
        self._reserves: list[dict[str, Node]] = [{} for _ in range(LEVELS)]  # with room for the urgent
        self._full: list[dict[str, Node]] = [{} for _ in range(2 * LEVELS)]  # by `recall_line`

    def add(self, task: Task, *, again: bool = False) -> None:
        """Take in that the task waits for a node: behind the others of its priority, or (`again`) where it
        was."""
        task.waiting = True
        self.waiting += 1
        self.order += 1
        if not again:
            task.order = self.order
        task.message_bytes = _message_bytes(task)
        self._enqueue(task)

    def reconsider(self, task: Task) -> None:
        """Take in that a task may want something else of a node: other nodes have it, or it was lost."""
        if task.waiting and task.wants != _wants(task):
            self.order += 1
            self._enqueue(task)

    def _enqueue(self, task: Task) -> None:
        task.wants = _wants(task)
        queue = self._queues.setdefault(task.wants, [])
        heappush(queue, (-task.priority, task.order, self.order, task))

    def remove(self, task: Task) -> None:
        """Take in that the task waits no more: it has a node, or is over."""
        self.waiting -= task.waiting
        task.waiting = False

    def is_idle(self) -> bool:
        """Tell whether nothing waits, as after nearly all that comes in; then what was taken out meanwhile is
        let go of."""
        if self.waiting:
            return False
        self._queues.clear()
        return True

    def pairs(self) -> Iterator[tuple[Task, Node]]:
        """Take out what waits, the most urgent first, each with the node that is to have it; whoever takes it
        gives the task to the node before the next is asked for."""
        stuck: set[str] = set()
        while True:
            best: _Entry | None = None
            best_key = ""
            for key, queue in self._queues.items():
                _drop_stale(key, queue)
                if queue and key not in stuck and (best is None or queue[0] < best):
                    best, best_key = queue[0], key
            if best is None:
                break
            task = best[-1]
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
        """Return the nodes that can have the task, the least busy first."""
        if task.lost >= ALONE_AFTER:
            lines = self._lines[:1]
        else:
            lines = self._lines + self._reserves[: task.priority + 1]
        return (node for line in lines for node in line.values() if _fits(task, node))

    def heads(self) -> list[Task]:
        """Return the first that waits of each queue: what is so of it, for lack of a node, is so of all in
        there."""
        for key, queue in self._queues.items():
            _drop_stale(key, queue)
        return [queue[0][-1] for queue in self._queues.values() if queue]

    def recalls(self, now_s: float) -> list[Placement]:
        """Tell what full nodes are to give back for the first tasks of each queue, none of which found room.
        The room that this makes is for whatever is most urgent then. `recall_due_s` is when to ask again."""
        recalled: list[Placement] = []
        self.recall_due_s = None
        for key, queue in self._queues.items():
            _drop_stale(key, queue)
            passed: list[_Entry] = []
            while queue and len(passed) < RECALLS:
                task = queue[0][-1]
                lines = self._full[: task.priority] + self._full[LEVELS : LEVELS + task.priority]
                if task.lost >= ALONE_AFTER or not any(lines):
                    break
                if task.recalls_until_s <= now_s:
                    node = next((node for line in lines for node in line.values() if _fits(task, node)), None)
                    placement = node.least_urgent() if node is not None else None
                    if node is None or placement is None:
                        break
                    placement.recalled = True
                    recalled.append(placement)
                    task.recalls_until_s = now_s + RECALL_S
                    self.rank(node, now_s)
                self.recall_due_s = min(self.recall_due_s or task.recalls_until_s, task.recalls_until_s)
                passed.append(heappop(queue))
                _drop_stale(key, queue)
            for entry in passed:
                heappush(queue, entry)
        return recalled

    def rank(self, node: Node, now_s: float) -> None:
        """Put the node where nodes with so much room are, or to give back so much, behind the others."""
        if node.bucket >= 0:
            del self._line(node.bucket)[node.id]
        load = len(node.open)
        if not node.alive or node.alone or node.rested_at_s > now_s:
            node.bucket = -1
        elif load < node.half:
            node.bucket = load
        elif load < node.window:
            node.bucket = _RESERVED + node.level()
        else:
            least = node.least_urgent() if node.credit else None
            node.bucket = _FULL + least.recall_line() if least is not None else -1
        if node.bucket >= 0:
            self._line(node.bucket)[node.id] = node

    def _line(self, bucket: int) -> dict[str, Node]:
        if bucket >= _FULL:
            return self._full[bucket - _FULL]
        if bucket >= _RESERVED:
            return self._reserves[bucket - _RESERVED]
        while len(self._lines) <= bucket:
            self._lines.append({})
        return self._lines[bucket]
