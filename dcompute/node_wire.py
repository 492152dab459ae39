"""What the messages between master and nodes look like: topics, limits, checks, JSON in and out.

Shared with the board, like node_core, and a file of its own because a board compiles it from source: a file's
parse tree has to fit a 64 KiB heap beside what is loaded already.
"""

import json
import sys

try:  # absent on MicroPython, which does not evaluate annotations
    from typing import Any
except ImportError:
    pass

PROTOCOL = 1
HIGHEST_PRIORITY = 10
LOWEST_PRIORITY = 1
DEFAULT_PRIORITY = 5
MAX_TASK_ID_CHARS = 128
MAX_STATUS_CHARS = 64
MAX_DEPTH = 16
MAX_PAYLOAD_BYTES = 262144

DEAD = "dead"
OFFLINE = "offline"
READY = "ready"
BUSY = "busy"
CONNECTED = "connected"


class Rejected(ValueError):
    """A message that is no valid message of the protocol; str() says why."""


def check_status(status: "Any") -> str:
    """Return `status` if it is 1 to 64 characters of text, else raise ValueError."""
    if not isinstance(status, str) or not 0 < len(status) <= MAX_STATUS_CHARS:
        raise ValueError("status must be a string of 1 to %d characters" % MAX_STATUS_CHARS)
    return status


def check_priority(priority: "Any") -> int:
    """Return `priority` if it is an int in 1..10 (10 is the highest), else raise ValueError."""
    if isinstance(priority, bool) or not isinstance(priority, int):
        raise ValueError("priority must be an integer from 1 to 10, not %r" % (priority,))
    if not LOWEST_PRIORITY <= priority <= HIGHEST_PRIORITY:
        raise ValueError("priority must be from 1 to 10, not %d" % priority)
    return priority


def check_task_id(task_id: "Any") -> str:
    """Return `task_id` as text if it can name a task (1 to 128 characters, or an int); else ValueError."""
    if isinstance(task_id, int) and not isinstance(task_id, bool):
        task_id = str(task_id)
    if not isinstance(task_id, str) or not 0 < len(task_id) <= MAX_TASK_ID_CHARS:
        raise ValueError("task id must be a string of 1 to %d characters" % MAX_TASK_ID_CHARS)
    return task_id


_PLAIN = (str, int, bool)  # on MicroPython a bool is no int


def check_json(value: "Any", depth: int = 0) -> None:
    """Raise ValueError unless `value` is a JSON value nested at most MAX_DEPTH deep.

    Needed before encoding: MicroPython's json.dumps writes any object's repr without complaint.
    """
    if value is None or isinstance(value, _PLAIN):
        return
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise ValueError("%r is not a JSON number" % value)
        return
    if depth >= MAX_DEPTH:
        raise ValueError("nested deeper than %d levels" % MAX_DEPTH)
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise ValueError("JSON keys are strings, not %r" % (key,))
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        raise ValueError("%s is not a JSON value" % type(value).__name__)
    for item in value:
        if not isinstance(item, _PLAIN):
            check_json(item, depth + 1)


def _check_nesting(payload: bytes) -> None:
    """Raise ValueError if the brackets are nested too deep, or not closed.

    Before parsing: parsers recurse, and a board's stack is small. MicroPython's parser, besides, takes an
    object whose end is missing for a whole one.
    """
    depth = 0
    in_string = False
    escaped = False
    for byte in payload:
        if in_string:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                in_string = False
        elif byte == 0x22:
            in_string = True
        elif byte in (0x5B, 0x7B):
            depth += 1
            if depth > MAX_DEPTH:
                raise ValueError("nested deeper than %d levels" % MAX_DEPTH)
        elif byte in (0x5D, 0x7D):
            depth -= 1
    if depth:
        raise ValueError("cut short")


ON_BOARD = sys.implementation.name == "micropython"

if ON_BOARD:

    def dumps(value: "Any") -> str:
        return json.dumps(value)

    def _loads(payload: bytes) -> "Any":
        _check_nesting(payload)
        message = json.loads(payload)  # the bytes themselves: a heap in pieces has no room for their text
        if max(payload) > 0x7F:
            str(payload, "utf-8")  # the parser takes any bytes for text
        return message

else:

    def _no_constant(name: str) -> "Any":
        raise ValueError("%s is not JSON" % name)

    _encoder = json.JSONEncoder(ensure_ascii=False, check_circular=False)
    # Made once: `JSONEncoder.encode` makes it anew for each message, which is half of what that takes. It and
    # `scan_once` are json's own (tests/dcompute/test_protocol.py guards both), None where json is all Python.
    _make_chunks = getattr(json.encoder, "c_make_encoder", None)
    _chunks = (
        _make_chunks(
            None, _encoder.default, json.encoder.encode_basestring, None, ": ", ", ", False, False, True
        )
        if _make_chunks is not None
        else lambda value, _level: (_encoder.encode(value),)
    )

    def dumps(value: "Any") -> str:
        return "".join(_chunks(value, 0))

    def _finite(text: str) -> float:
        value = float(text)
        if value in (float("inf"), float("-inf")):
            raise ValueError("%s is out of range" % text)
        return value

    _decoder = json.JSONDecoder(parse_float=_finite, parse_constant=_no_constant)

    def _loads(payload: bytes) -> "Any":
        if payload.count(b"[") + payload.count(b"{") > MAX_DEPTH:
            _check_nesting(payload)
        text = str(payload, "utf-8")
        try:
            message, end = _decoder.scan_once(text, 0)  # type: ignore[attr-defined]
        except StopIteration:
            end = -1
        if end != len(text):
            message = _decoder.decode(text)  # which looks for white space around it, and says what is wrong
        if "\\ud" in text or "\\uD" in text:
            dumps(message).encode()  # half a surrogate pair is no text: nobody could send it on
        return message


def encode(message: "dict[str, Any]") -> bytes:
    """JSON text as UTF-8. Raises ValueError for what JSON or the protocol's limits cannot carry."""
    check_json(message)
    payload = dumps(message).encode("utf-8")
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ValueError("message of %d bytes is over the limit of %d" % (len(payload), MAX_PAYLOAD_BYTES))
    return payload


def decode(payload: bytes, limit: int = MAX_PAYLOAD_BYTES) -> "dict[str, Any]":
    """The JSON object in `payload`; raises Rejected for anything else, however hostile."""
    if len(payload) > limit:
        raise Rejected("payload of %d bytes is over the limit of %d" % (len(payload), limit))
    try:
        message = _loads(payload)
    except (ValueError, UnicodeError) as error:
        raise Rejected("not JSON: %s" % error)
    if not isinstance(message, dict):
        raise Rejected("not a JSON object")
    return message


def decode_task(payload: bytes, limit: int = MAX_PAYLOAD_BYTES) -> "dict[str, Any]":
    """A task as the master sent it, with `priority` filled in; raises Rejected with the reason."""
    task = decode(payload, limit)
    try:
        task["priority"] = check_priority(task.get("priority", DEFAULT_PRIORITY))
        if "id" in task:
            check_task_id(task["id"])
    except ValueError as error:
        raise Rejected(str(error))
    return task


def is_init_command(task: "dict[str, Any]") -> bool:
    """True for `{"task_info": {"command": "init"}}`: not work, but the question "are you there?".

    What has an id is somebody's work, whatever else it carries.
    """
    info = None if "id" in task else task.get("task_info")
    return isinstance(info, dict) and info.get("command") == "init"


def task_attempt(task: "dict[str, Any]") -> int:
    """Which try at this task it is; 1 where the sender does not say."""
    attempt = task.get("attempt", 1)
    return attempt if type(attempt) is int else 1  # true is none, to either Python


class Topics:
    """The topics of one namespace ("" for none)."""

    def __init__(self, namespace: str = "") -> None:
        prefix = ""
        if namespace:
            from dcompute.node_names import check_namespace

            prefix = check_namespace(namespace) + "/"
        self.prefix = prefix
        self.initialisation = prefix + "initialisation"
        self.results = prefix + "results"

    def task_of(self, node_id: str) -> str:
        """Where the master puts tasks for this node."""
        return self.prefix + node_id

    def status_of(self, node_id: str) -> str:
        """Where this node's retained status lives; "+": all of them."""
        return self.prefix + node_id + "/status"
