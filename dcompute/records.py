"""What the master's API gives its caller: records of nodes and of results, plain dicts with typed fields."""

from __future__ import annotations

from typing import Any, TypedDict


class NodeInfo(TypedDict):
    """A node, as the master believes it to be; a copy, free to change."""

    node_id: str
    """Under which it is known."""
    status: str
    """Its last one: `connected`, `ready`, `busy` or one of its own; `dead` or `offline` when it is gone."""
    device_type: str
    """As announced; "" before."""
    last_seen: float
    """When it last spoke, in seconds since 1970."""
    inc: str
    """Which life and connection of the node that is; "" of older nodes."""
    capabilities: dict[str, Any]
    """As announced."""


class ResultRecord(TypedDict):
    """A result, as it came."""

    result: Any
    """What the node sent: any JSON value."""
    timestamp: float | None
    """By the node's own clock, in seconds since 1970 (an ESP32 without a clock counts from 2000)."""
    received_at: float
    """By the master's clock, in seconds since 1970."""
    task_id: str | None
    """Of the task that it answers; None of older nodes."""
    attempt: int
    """Of that task, from 1."""
    inc: str
    """In which life and connection of the node; "" of older nodes."""


class NodeResult(ResultRecord):
    """A result, and whose: what the callback for results is given."""

    node_id: str
    """Who sent it."""


__all__ = ["NodeInfo", "NodeResult", "ResultRecord"]
