"""The nodes that an executor's fleet has at present, as whoever submits may see and await them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from dcompute.executor.choice import matches
from dcompute.executor.core import count_in


class Roster:
    """Told on the loop of who comes and goes; asked from any thread.

    Args:
        fleet_takes: told how many tasks all nodes together take at a time, whenever that changes.

    Attributes:
        ready: what the living nodes announce, by node id; only `changed` alters it.
    """

    def __init__(self, fleet_takes: Callable[[int], None]) -> None:
        self._tell = fleet_takes
        self._changed = threading.Condition()
        self.ready: dict[str, Mapping[str, Any]] = {}
        self._fleet_takes = 0

    def changed(self, node_id: str, announced: Mapping[str, object] | None) -> None:
        """Take in that a node announces this, or is gone (None)."""
        with self._changed:
            before = self.ready.pop(node_id, None)
            if announced is not None:
                self.ready[node_id] = announced
            self._fleet_takes += _takes(announced) - _takes(before)
            self._changed.notify_all()
        self._tell(self._fleet_takes)

    def nodes(self, where: Mapping[str, object]) -> dict[str, Mapping[str, Any]]:
        """Return what the living nodes announce that `where` allows."""
        with self._changed:
            ready = dict(self.ready)
        return {node: said for node, said in ready.items() if matches(where, node, said)}

    def wait_for(self, count: int, timeout_s: float | None, where: Mapping[str, object]) -> int:
        """Wait until so many nodes are there that `where` allows; return how many are, then or at the end."""
        end_s = None if timeout_s is None else time.monotonic() + timeout_s
        with self._changed:
            while True:
                found = sum(matches(where, node, said) for node, said in self.ready.items())
                left_s = None if end_s is None else end_s - time.monotonic()
                if found >= count or (left_s is not None and left_s <= 0):
                    return found
                self._changed.wait(left_s)


def _takes(announced: Mapping[str, object] | None) -> int:
    """Tell how many tasks of ours a node takes at a time."""
    if announced is None:
        return 0
    return count_in(announced, "credit") or 1


__all__ = ["Roster"]
