"""How a node works through its tasks."""

from __future__ import annotations

from typing import Any

from dcompute.node_core import TaskQueue
from dcompute.node_transport import ComputeNodeTransport
from dcompute.node_wire import HIGHEST_PRIORITY, LOWEST_PRIORITY


class PoliteCrash(ComputeNodeTransport):
    """A failed task ends the program, which cleans up with a DISCONNECT: the broker drops the will."""

    def send_result(self, result: Any, task_id: str | int | None = None) -> None:
        if isinstance(result, dict) and "error" in result:
            self._link.close([], 1.0, lambda: None)
        else:
            super().send_result(result, task_id)


class InvertedQueue(TaskQueue):
    """The smallest number first, as a heap has it: urgent tasks starve behind all others."""

    def lane_of(self, task: dict[str, Any]) -> int:
        return HIGHEST_PRIORITY + LOWEST_PRIORITY - super().lane_of(task)


class UnboundedQueue(TaskQueue):
    """Takes in every task, until the memory is full."""

    def put(self, task: dict[str, Any], payload: bytes) -> bool:
        self.limit = self.length + 1
        return super().put(task, payload)
