"""The master's book of tasks: which attempt is the next, which are done, results until they are collected."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice
from typing import Any

from dcompute.protocol import ResultMessage


class TaskBook:
    """Knows which tasks are open, and with whom.

    Args:
        result_limit: results kept until collected; beyond it the oldest is dropped.
        memory: how many task ids are remembered.
    """

    def __init__(self, result_limit: int, memory: int) -> None:
        self._results: dict[str, list[dict[str, Any]]] = {}  # by node
        self._result_count = 0
        self._result_limit = result_limit
        self._done: dict[str, None] = {}
        self._attempts: dict[str, int] = {}
        self._memory = memory

    def next_attempt(self, task_id: str) -> int:
        """1 for a task not sent yet, one more each time it was `sent`."""
        return self._attempts.get(task_id, 0) + 1

    def sent(self, task_id: str, attempt: int) -> None:
        """This attempt is on its way."""
        _remember(self._attempts, task_id, attempt, self._memory)

    def is_done(self, task_id: str | None) -> bool:
        """Whether a result of this task came before; nothing is known of a result without a task."""
        return task_id is not None and task_id in self._done

    def finished(self, message: ResultMessage, wall_s: float) -> int:
        """Keep a result; returns how many were dropped for it."""
        if message.task_id is not None:
            _remember(self._done, message.task_id, None, self._memory)
        self._results.setdefault(message.node_id, []).append(
            {
                "result": message.result,
                "timestamp": message.timestamp,
                "received_at": wall_s,
                "task_id": message.task_id,
                "attempt": message.attempt,
                "inc": message.inc,
            }
        )
        self._result_count += 1
        if self._result_count <= self._result_limit:
            return 0
        self._discard(min(self._results, key=lambda node_id: self._results[node_id][0]["received_at"]), 1)
        return 1

    def results(self, only: Collection[str] | None, *, remove: bool) -> dict[str, list[dict[str, Any]]]:
        """Return results by node (of those in `only`): the records themselves; `remove` takes them out."""
        chosen = [node_id for node_id in self._results if only is None or node_id in only]
        if not remove:
            return {node_id: list(self._results[node_id]) for node_id in chosen}
        found = {node_id: self._results.pop(node_id) for node_id in chosen}
        self._result_count -= sum(map(len, found.values()))
        return found

    def put_back(self, results: dict[str, list[dict[str, Any]]]) -> None:
        """Keep again, before later ones, what `results` took out."""
        for node_id, records in results.items():
            self._results[node_id] = records + self._results.get(node_id, [])
            self._result_count += len(records)

    def forget(self, node_id: str) -> None:
        """Drop the node's results."""
        if node_id in self._results:
            self._discard(node_id, len(self._results[node_id]))

    def _discard(self, node_id: str, count: int) -> None:
        del self._results[node_id][:count]
        self._result_count -= count
        if not self._results[node_id]:
            del self._results[node_id]


def _remember(memory: dict[str, Any], key: str, value: Any, limit: int) -> None:
    memory.pop(key, None)  # last in order
    memory[key] = value
    if len(memory) > limit:  # many at once: to find the first one, a dict passes all that were removed before
        for oldest in list(islice(memory, 1 + limit // 100)):
            del memory[oldest]
