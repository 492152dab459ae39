"""The master's side of the wire protocol, version 1: what its messages mean, and how a task is written.

Topics, limits and JSON rules are those of `node_core`, which nodes share. `decode` turns the bytes of any
topic into a message or raises `Rejected`; nothing else escapes it, whatever the bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from functools import lru_cache
from typing import Any

from dcompute._value import value
from dcompute.node_core import (
    BUSY,
    CONNECTED,
    DEAD,
    DEFAULT_PRIORITY,
    MAX_PAYLOAD_BYTES,
    OFFLINE,
    PROTOCOL,
    READY,
    Rejected,
    Topics,
    check_priority,
    check_status,
    check_task_id,
    encode,
)
from dcompute.node_core import decode as decode_object
from dcompute.node_names import check_node_id

__all__ = [
    "MAX_PAYLOAD_BYTES",
    "PROTOCOL",
    "Announcement",
    "Message",
    "Rejected",
    "ResultMessage",
    "StatusCleared",
    "StatusMessage",
    "Topics",
    "check_capabilities",
    "check_device_type",
    "decode",
    "encode_dead",
    "encode_init",
    "encode_task",
    "queue_topic",
    "status_memory",
    "update_topic",
    "updates_topic",
]

MAX_INC_CHARS = 128
MAX_DEVICE_TYPE_CHARS = 64
MAX_REASON_CHARS = 1000
MAX_CAPABILITIES_BYTES = 16384
_DESCRIPTION_BYTES = MAX_CAPABILITIES_BYTES + 1024  # a status or an announcement, as it travels
_STATUSES = {status: status for status in (CONNECTED, READY, BUSY, DEAD, OFFLINE)}
_REMEMBERED = 64  # 80 KB, if they are statuses
HEARD_S = 30.0  # after which what should have come back over a connection is taken for denied by the broker
PATIENCE_S = 300.0  # without progress, until an update of a board counts as failed


@value
class Announcement:
    """A node has connected and subscribed (`initialisation`). `size`: see `memory_of`, as of the others."""

    node_id: str
    status: str
    inc: str = ""
    device_type: str = ""
    capabilities: dict[str, Any] = field(default_factory=dict)
    size: int = field(default=0, compare=False)


@value
class StatusMessage:
    """A node's status, from the node itself or (`dead`) as its last will. `inc` is "" from older nodes."""

    node_id: str
    status: str
    inc: str = ""
    device_type: str = ""
    capabilities: dict[str, Any] | None = None
    size: int = field(default=0, compare=False)


@value
class StatusCleared:
    """The retained status of a node was removed (empty payload)."""

    node_id: str


@value
class ResultMessage:
    """A node's result. `timestamp`: by the node's own clock (an unset ESP32 counts from 2000), or None."""

    node_id: str
    result: Any
    timestamp: float | None = None
    task_id: str | None = None
    attempt: int = 1
    inc: str = ""
    size: int = field(default=0, compare=False)


Message = Announcement | StatusMessage | StatusCleared | ResultMessage


def updates_topic(topics: Topics) -> str:
    """Tell where nodes tell of updates. Not in `Topics`, which a board has in its heap."""
    return topics.prefix + "updates"


def update_topic(topics: Topics, node_id: str) -> str:
    """Tell where a node takes offers and pieces of an update."""
    return topics.task_of(node_id) + "/update"


def queue_topic(topics: Topics, asker: str) -> str:
    """Tell where an executor says what its queue is."""
    return f"{topics.results}/{asker}/queue"


def decode(topics: Topics, topic: str, payload: bytes) -> Message:
    """Tell what a message on a topic the master follows means. Raises Rejected with the reason."""
    try:
        if topic == topics.results:
            return _result(decode_object(payload), memory_of(payload))
        return _said_of_itself(topics.prefix, topic, payload)
    except Rejected:
        raise
    except ValueError as error:
        raise Rejected(str(error)) from None


def _said_of_itself(prefix: str, topic: str, payload: bytes) -> Message:
    """Tell what an announcement means, or a message on what may be a node's status topic. Raises
    ValueError."""
    if topic == f"{prefix}initialisation":
        return _announcement(_described(payload), memory_of(payload))
    if not topic.startswith(prefix) or not topic.endswith("/status"):
        raise Rejected("not a topic of the protocol")
    return _status(check_node_id(topic[len(prefix) : -len("/status")]), payload)


_remembered = lru_cache(_REMEMBERED)(_said_of_itself)


def status_memory(topics: Topics) -> Callable[[str, bytes], Message]:
    """Return `decode` for these topics, which remembers what nodes said of themselves: they say it to each
    master and executor of a process, and one that works says `busy` and `ready` in the same bytes again and
    again. `capabilities` are the same object then."""

    def read(topic: str, payload: bytes) -> Message:
        if topic == topics.results:
            return decode(topics, topic, payload)
        try:
            return _remembered(topics.prefix, topic, payload)
        except Rejected:
            raise
        except ValueError as error:
            raise Rejected(str(error)) from None

    return read


def memory_of(payload: bytes) -> int:
    """Return about how many bytes a message takes when it is read, within a factor of two.

    What is kept is bounded by that: `[{},{}]` takes 24 times its length, so that 16 MiB of what attackers
    announced were 390 MiB, and 256 MiB of their results would have been 6 GiB.
    """
    return len(payload) + 128 * payload.count(b"{") + 64 * payload.count(b"[") + 32 * payload.count(b",")


def _status(node_id: str, payload: bytes) -> StatusMessage | StatusCleared:
    if not payload:
        return StatusCleared(node_id)
    body = _described(payload)
    if body.get("node_id") != node_id:
        raise Rejected(f"node_id {body.get('node_id')!r} in the status of {node_id}")
    capabilities = body.get("capabilities")
    return StatusMessage(
        node_id,
        _status_in(body),
        _inc(body),
        _device_type(body),
        _capabilities(capabilities) if capabilities is not None else None,
        memory_of(payload),
    )


def _status_in(body: dict[str, object], default: str | None = None) -> str:
    """Return the status, as the constant if it is one: each message has a copy of its own."""
    status = check_status(body.get("status", default))
    return _STATUSES.get(status, status)


def _described(payload: bytes) -> dict[str, object]:
    """Tell what a node says of itself: masters keep it of all nodes, so it is small."""
    if len(payload) > _DESCRIPTION_BYTES:
        raise Rejected(
            f"{len(payload):,} bytes: what a node says of itself has at most {_DESCRIPTION_BYTES:,}"
        )
    return decode_object(payload)


def _announcement(body: dict[str, object], size: int) -> Announcement:
    return Announcement(
        check_node_id(body.get("node_id")),
        _status_in(body, CONNECTED),
        _inc(body),
        _device_type(body),
        _capabilities(body.get("capabilities", {})),
        size,
    )


def _result(body: dict[str, object], size: int) -> ResultMessage:
    node_id = check_node_id(body.get("node_id"))
    if "result" not in body:
        raise Rejected("a result without its `result` field")
    result = body["result"]
    timestamp = body.get("timestamp")
    if isinstance(timestamp, bool) or not isinstance(timestamp, (int, float, type(None))):
        raise Rejected("timestamp is not a number")
    attempt = body.get("attempt", 1)
    task_id = body.get("task_id")
    return ResultMessage(
        node_id,
        result,
        timestamp,
        check_task_id(task_id) if task_id is not None else _task_named_in(result),
        attempt if type(attempt) is int else 1,  # to Python true is an int
        _inc(body),
        size,
    )


def _task_named_in(result: object) -> str | None:
    """Tell what an older node's result says of itself; it is free to mean something else by that field."""
    try:
        return check_task_id(result["task_id"]) if isinstance(result, dict) else None
    except (KeyError, ValueError):
        return None


def _inc(body: Mapping[str, object]) -> str:
    inc = body.get("inc", "")
    if not isinstance(inc, str) or len(inc) > MAX_INC_CHARS:
        raise Rejected("inc is not a short string")
    return inc


def _device_type(body: Mapping[str, object]) -> str:
    return check_device_type(body.get("device_type", ""))


def _capabilities(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise Rejected("capabilities is not a JSON object")
    return value


def check_device_type(device_type: object) -> str:
    """Return `device_type` if it is text of at most 64 characters, else raise ValueError."""
    if not isinstance(device_type, str) or len(device_type) > MAX_DEVICE_TYPE_CHARS:
        raise ValueError(f"device_type must be a string of at most {MAX_DEVICE_TYPE_CHARS} characters")
    return device_type


def check_capabilities(capabilities: dict[str, object]) -> dict[str, object]:
    """Return `capabilities` if messages can carry them, else raise ValueError."""
    try:
        size = len(encode({"capabilities": capabilities}))
    except ValueError as error:
        raise ValueError(f"capabilities: {error}") from None
    if size > MAX_CAPABILITIES_BYTES:
        raise ValueError(f"capabilities: {size:,} bytes, at most {MAX_CAPABILITIES_BYTES:,} are allowed")
    return capabilities


def task_fields(task_data: Mapping[str, object], priority: int, new_id: str) -> dict[str, Any]:
    """Return a copy of `task_data` with `priority` and `id` filled in where missing, both validated
    (ValueError)."""
    if not isinstance(task_data, Mapping):
        raise ValueError(f"a task is a dict, not {type(task_data).__name__}")
    task = dict(task_data)
    task["priority"] = check_priority(task.get("priority", check_priority(priority)))
    task["id"] = check_task_id(task["id"]) if "id" in task else new_id
    return task


def encode_task(task: dict[str, object], attempt: int) -> bytes:
    """Return the payload of a task (ValueError if it is not JSON, too deep or too large)."""
    return encode({**task, "attempt": attempt})


def encode_init() -> bytes:
    """Return the question "are you there?", which a node answers by publishing its status."""
    return encode({"task_info": {"command": "init"}, "priority": DEFAULT_PRIORITY})


def encode_dead(node_id: str, inc: str) -> bytes:
    """Return the status of a node the master declares dead itself, in the form of that node's own last
    will."""
    return encode({"node_id": node_id, "status": "dead", "inc": inc})
