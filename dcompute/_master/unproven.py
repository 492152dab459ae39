"""Results that name a life which the status of their node has not named yet.

A result may be faster than the status that proves it, and anybody may write one in any name (rule 9 of the
registry): so it waits, and how many wait, and of what size, is bounded.
"""

from __future__ import annotations

from dcompute.protocol import ResultMessage

_RESULTS = 1_000
_BYTES = 16 << 20


class UnprovenResults:
    """What waits, by node.

    Attributes:
        by_node: the results of each node for which any wait.
    """

    def __init__(self) -> None:
        self.by_node: dict[str, list[ResultMessage]] = {}
        self._count = self._bytes = 0

    def keep(self, message: ResultMessage) -> bool:
        """Let it wait; False when there is no room."""
        if self._bytes + message.size > _BYTES or self._count >= _RESULTS:
            return False
        self.by_node.setdefault(message.node_id, []).append(message)
        self._count += 1
        self._bytes += message.size
        return True

    def take(self, node_id: str) -> list[ResultMessage]:
        """Return, and keep no longer, what waits of a node."""
        waiting = self.by_node.pop(node_id, [])
        self._count -= len(waiting)
        self._bytes -= sum(message.size for message in waiting)
        return waiting


__all__ = ["UnprovenResults"]
