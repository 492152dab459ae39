"""What the master's state machine wants done, or told, after a message or a deadline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class NodeChanged:
    """The record of a node changed (new status or new incarnation)."""

    node_id: str
    status: str
    inc: str


@dataclass(frozen=True, slots=True)
class NodeDied:
    """Tell the dead-nodes callback. `cause`: will, offline (graceful) or silent (found by the master)."""

    node_id: str
    inc: str
    cause: str


@dataclass(frozen=True, slots=True)
class StaleDeath:
    """A `dead` of an incarnation that is not the node's current one was ignored."""

    node_id: str
    inc: str


@dataclass(frozen=True, slots=True)
class Probe:
    """Ask this node to speak: what is known of it was read from a retained message or before an outage."""

    node_id: str


@dataclass(frozen=True, slots=True)
class DeclareDead:
    """Publish a retained `dead` in this node's place: it fell silent when no broker could send its will."""

    node_id: str
    inc: str


@dataclass(frozen=True, slots=True)
class ResultAccepted:
    node_id: str
    task_id: str | None
    result: Any


@dataclass(frozen=True, slots=True)
class ResultIgnored:
    """A repeat, or an old node's retained result. `reason`: duplicate, retained or forgotten."""

    node_id: str
    task_id: str | None
    reason: str


Effect = NodeChanged | NodeDied | StaleDeath | Probe | DeclareDead | ResultAccepted | ResultIgnored
