"""What a master believes of one node."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dcompute.node_core import DEAD, OFFLINE

if TYPE_CHECKING:
    from dcompute.records import NodeInfo

GONE = (DEAD, OFFLINE)
DEFAULT_KEEPALIVE_S = 60.0
"""Of a node that announced none."""


@dataclass(slots=True)
class NodeRecord:
    """What the master believes of one node."""

    node_id: str
    status: str
    device_type: str = ""
    last_seen: float = 0.0
    inc: str = ""
    capabilities: dict[str, Any] = field(default_factory=dict)
    death_reported: bool = False  # for the present incarnation
    heard: bool = False  # its status came live over the present connection
    spoke_s: float = 0.0  # when it was last heard, of the monotonic clock
    restored: bool = False  # nobody has been told of it in this life of the master
    declared_inc: str | None = None  # our own declaration of death for it will come back to us
    only_announced: bool = False  # nothing was ever on its status topic
    lives: tuple[str, ...] = ()  # named by its statuses, the newest first
    capability_bytes: int = 0

    def speaks(self, inc: str) -> bool:
        """Tell whether a message that names `inc` can be this node's: its status has named that life."""
        return not self.inc or life_of(inc) in self.lives

    def public(self) -> NodeInfo:
        """Return what callers may know; `capabilities` is the record's own, never changed but replaced."""
        return {
            "node_id": self.node_id,
            "status": self.status,
            "device_type": self.device_type,
            "last_seen": self.last_seen,
            "inc": self.inc,
            "capabilities": self.capabilities,
        }


def life_of(inc: str) -> str:
    """Return the boot nonce of an incarnation."""
    return inc.rpartition(".")[0] or inc


__all__ = ["DEFAULT_KEEPALIVE_S", "GONE", "NodeRecord", "life_of"]
