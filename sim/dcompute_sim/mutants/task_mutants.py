"""How a node queues its tasks."""

from __future__ import annotations

from dcompute.node_core import TaskQueue
from dcompute.node_wire import HIGHEST_PRIORITY, LOWEST_PRIORITY
from dcompute_sim.mutants.catalogue import Edit, register

_CORE = "dcompute/node_core.py"
_LANE = 'priority: int = task["priority"]'


class _FifoQueue(TaskQueue):
    """Tasks are done in the order they came, whatever their priority."""

    def lane_of(self, task: dict[str, object]) -> int:
        return 1


class _InvertedQueue(TaskQueue):
    """The smallest number first, as a heap has it: urgent tasks starve behind all others."""

    def lane_of(self, task: dict[str, object]) -> int:
        return HIGHEST_PRIORITY + LOWEST_PRIORITY - super().lane_of(task)


class _UnboundedQueue(TaskQueue):
    """Takes in every task, until the memory is full."""

    def put(self, task: dict[str, object], payload: bytes) -> bool:
        self.limit = self.length + 1
        return super().put(task, payload)


register("fifo-queue", _FifoQueue, Edit(_CORE, _LANE, "priority = 1"))
register("inverted-queue", _InvertedQueue, Edit(_CORE, _LANE, 'priority = 11 - task["priority"]'))
register("unbounded-queue", _UnboundedQueue, Edit(_CORE, "if self.length >= self.limit:", "if False:"))
