"""How a node leaves."""

from __future__ import annotations

from collections.abc import Callable

from dcompute.node_core import OFFLINE, NodeCore
from dcompute.node_transport import ComputeNodeTransport
from dcompute_sim.mutants.catalogue import Edit, register

_LAST_WORDS = "link.close(self.publish_status(OFFLINE, timeout_s))"


class _LeavesByCrash(ComputeNodeTransport):
    """A node that leaves just ends: its will says that it died."""

    def _close(self, timeout_s: float, done: Callable[[], None]) -> None:
        self._link.kill()
        done()


class _LeavesInSilence(ComputeNodeTransport):
    """A node that leaves disconnects without a word: it stays `ready` for ever."""

    def _close(self, timeout_s: float, done: Callable[[], None]) -> None:
        self._link.close([], timeout_s, done)


class _UnretainedOffline(NodeCore):
    """A node's `offline` is not retained: who comes later believes that it is ready."""

    def set_status(self, status: str) -> tuple[str, bytes, bool]:
        topic, payload, retain = super().set_status(status)
        return topic, payload, retain and status != OFFLINE


register("leaves-by-crash", _LeavesByCrash, Edit("compute_node.py", _LAST_WORDS, "link.close(False)"))
register("leaves-in-silence", _LeavesInSilence, Edit("compute_node.py", _LAST_WORDS, "link.close()"))
register("unretained-offline", _UnretainedOffline)
