"""The master's book of tasks: which attempt is the next, which are done, results until they are collected.

What is kept for a master that does not collect is bounded in number and in bytes. Beyond that the oldest
result goes of whoever has the most (within a factor of two): one node that floods loses its own results, not
those of the others. That costs the same however many results and nodes there are.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Collection
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from dcompute.protocol import ResultMessage

if TYPE_CHECKING:
    from dcompute.records import ResultRecord

V = TypeVar("V")
_RECORD_BYTES = 512  # what a result takes beside its payload


class TaskBook:
    """Knows which tasks are open, and with whom.

    Args:
        result_limit: results kept until collected; beyond it one is dropped.
        result_bytes: likewise, of the memory that they take.
        memory: how many task ids are remembered.
    """

    def __init__(self, result_limit: int, result_bytes: int, memory: int) -> None:
        self._results: dict[str, deque[tuple[ResultRecord, int]]] = {}  # by node, with its bytes
        self._bytes: dict[str, int] = {}
        self._heavy: dict[int, OrderedDict[str, None]] = {}  # nodes, by how many bits their bytes have
        self._result_count = 0
        self._byte_count = 0
        self._result_limit = result_limit
        self._result_bytes = result_bytes + _RECORD_BYTES * result_limit
        self._done: dict[str, str | tuple[str, ...]] = {}  # by task: whose results came (see `_owner`)
        self._attempts: dict[str, tuple[int, tuple[str, ...]]] = {}  # by task: the newest, and who had one
        self._memory = memory

    def next_attempt(self, task_id: str) -> int:
        """Return 1 for a task not sent yet, one more each time it was `sent`."""
        return self._attempts.get(task_id, (0, ()))[0] + 1

    def sent(self, task_id: str, attempt: int, node_id: str) -> None:
        """Take in that this attempt is on its way to that node."""
        _, nodes = self._attempts.get(task_id, (0, ()))
        if node_id not in nodes:
            nodes = (*nodes, node_id)
        _remember(self._attempts, task_id, (attempt, nodes), self._memory)

    def is_foreign(self, message: ResultMessage) -> bool:
        """Tell whether it is of a task that was sent, but not to that node."""
        sent = self._attempts.get(message.task_id) if message.task_id is not None else None
        return sent is not None and message.node_id not in sent[1]

    def is_done(self, message: ResultMessage) -> bool:
        """Tell whether a result of this task came before; nothing is known of a result without a task."""
        if message.task_id is None:
            return False
        return self._owner(message.node_id, message.task_id) in self._owners(message.task_id)

    def _owner(self, node_id: str, task_id: str) -> str:
        """Tell whose result counts: a task that was sent has one, whoever brings it. What another master has
        sent, or this one before a restart, may have one of each node: otherwise a rogue could answer before
        the node does."""
        return "" if task_id in self._attempts else node_id

    def _owners(self, task_id: str) -> tuple[str, ...]:
        owners = self._done.get(task_id, ())
        return (owners,) if isinstance(owners, str) else owners

    def finished(self, node_id: str, message: ResultMessage, wall_s: float) -> int:
        """Keep a result; returns how many were dropped for it.

        Args:
            node_id: the node's, as the caller keeps it: the message has a copy of its own, of every result.
        """
        if message.task_id is not None:
            # Nearly every task has one, which is then kept as it is: a tuple takes 56 bytes.
            owners = (*self._owners(message.task_id), self._owner(node_id, message.task_id))
            _remember(self._done, message.task_id, owners if owners[1:] else owners[0], self._memory)
        record: ResultRecord = {
            "result": message.result,
            "timestamp": message.timestamp,
            "received_at": wall_s,
            "task_id": message.task_id,
            "attempt": message.attempt,
            "inc": message.inc,
        }
        size = message.size + _RECORD_BYTES
        self._results.setdefault(node_id, deque()).append((record, size))
        self._weigh(node_id, 1, size)
        dropped = 0
        while self._result_count > self._result_limit or self._byte_count > self._result_bytes:
            heaviest = next(iter(self._heavy[max(self._heavy)]))
            _, size = self._results[heaviest].popleft()
            self._weigh(heaviest, -1, -size)
            dropped += 1
        return dropped

    def results(self, only: Collection[str] | None, *, remove: bool) -> dict[str, list[ResultRecord]]:
        """Return results by node (of those in `only`): the records themselves; `remove` takes them out."""
        found = {
            node_id: [record for record, _ in kept]
            for node_id, kept in self._results.items()
            if only is None or node_id in only
        }
        if remove:
            for node_id in found:
                self.forget(node_id)
        return found

    def put_back(self, results: dict[str, list[ResultRecord]]) -> None:
        """Keep again, before later ones, what `results` took out."""
        for node_id, records in results.items():
            kept = self._results.setdefault(node_id, deque())
            kept.extendleft((record, _RECORD_BYTES) for record in reversed(records))
            self._weigh(node_id, len(records), _RECORD_BYTES * len(records))

    def forget(self, node_id: str) -> None:
        """Drop the node's results."""
        kept = self._results.get(node_id)
        if kept is not None:
            count = len(kept)
            kept.clear()
            self._weigh(node_id, -count, -self._bytes[node_id])

    def _weigh(self, node_id: str, count: int, size: int) -> None:
        """Count results of a node that came or went, and put it among those who have about as much."""
        self._result_count += count
        self._byte_count += size
        before = self._bytes.get(node_id, 0)
        after = self._bytes[node_id] = before + size
        if before.bit_length() != after.bit_length():
            peers = self._heavy.get(before.bit_length())
            if peers is not None:
                peers.pop(node_id, None)
                if not peers:
                    del self._heavy[before.bit_length()]
            if after:
                self._heavy.setdefault(after.bit_length(), OrderedDict())[node_id] = None
        if not self._results[node_id]:
            del self._results[node_id], self._bytes[node_id]


def _remember(memory: dict[str, V], key: str, value: V, limit: int) -> None:
    memory.pop(key, None)  # last in order
    memory[key] = value
    if len(memory) > limit:  # many at once: to find the first one, a dict passes all that were removed before
        for oldest in list(islice(memory, 1 + limit // 100)):
            del memory[oldest]
