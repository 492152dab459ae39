"""What every compute node does, bytes in and bytes out: incarnation, task queue, status and result messages.

This very file runs under CPython (ComputeNodeTransport) and is copied to the board (ComputeNode), so it keeps
to the subset of Python that MicroPython 1.22 knows and to what fits a 64 KiB heap. It does no I/O and reads
no clock. Messages to publish are tuples (topic, payload, retain); all are QoS 1.
"""

import json

try:  # absent on MicroPython, which does not evaluate annotations
    from typing import Any, Callable
except ImportError:
    pass

# What is imported `as` itself is for others to import from here: a list of names takes a board 250 bytes.
from dcompute.node_wire import (
    BUSY as BUSY,
    CONNECTED as CONNECTED,
    DEAD as DEAD,
    DEFAULT_PRIORITY as DEFAULT_PRIORITY,
    MAX_PAYLOAD_BYTES as MAX_PAYLOAD_BYTES,
    OFFLINE as OFFLINE,
    ON_BOARD,
    PROTOCOL as PROTOCOL,
    READY as READY,
    Rejected as Rejected,
    Topics as Topics,
    check_priority as check_priority,
    check_status as check_status,
    check_task_id as check_task_id,
    decode as decode,
    decode_task,
    dumps,
    encode as encode,
    is_init_command,
    task_attempt,
)

_RECENT_TASKS = 20  # QoS 1 may deliver twice; at least as many as brokers keep in flight are remembered
_TASKS_PER_NOTE = 4
_NOTES = 6  # the newest is not full


class TaskQueue:
    """Highest priority first, first in first out within one priority; bounded."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.length = 0
        self.line: list[tuple[int, Any]] = []  # (lane, what is held of the task), the next one first
        self.ids: dict[str, tuple[int, Any]] = {}  # what waits, by task id

    def lane_of(self, task: "dict[str, Any]") -> int:
        """Where it waits: with the others of its priority."""
        priority: int = task["priority"]
        return priority

    def put(self, task: "dict[str, Any]", payload: bytes) -> bool:
        """Queue `task`, which came as `payload`, at its own priority; False when the queue is full."""
        if self.length >= self.limit:
            return False
        # A board holds a task as it came: its parts take three times as much of the heap.
        held = (self.lane_of(task), bytes(payload) if ON_BOARD else task)
        place = self.length
        while place and self.line[place - 1][0] < held[0]:
            place -= 1
        self.line.insert(place, held)
        try:
            self.ids[str(task["id"])] = held
        except MemoryError:  # both, or neither
            self.line.pop(place)
            raise
        self.length += 1
        return True

    def take_next(self) -> "dict[str, Any] | None":
        """The next task, or None."""
        if not self.length:
            return None
        task: Any = self.line[0][1]
        if ON_BOARD:
            task = json.loads(task)
            task.setdefault("priority", DEFAULT_PRIORITY)
        self.length -= 1
        self.line.pop(0)
        del self.ids[str(task["id"])]
        return task  # type: ignore[no-any-return]


class NodeCore:
    """The state of one compute node; the transport around it moves the bytes.

    Args:
        node_id: see node_names.check_node_id.
        device_type: free text, told to the master.
        boot_nonce: new at every start of the program; with the connection number it makes the incarnation.
        capabilities: a small JSON object, told to the master.
        namespace: common topic prefix, "" for none.
        queue_limit: how many tasks may wait.
        payload_limit: bytes; larger tasks are rejected before they are parsed.
        ring_size: (credit, slots, bytes kept) of the ring (node_ring.py), which remembers what became of the
            tasks of those who are acknowledged end to end; None for a node that takes no part in that.

    `on_event(name, fields)`, when set, is told what happens (names are those of the testbed's trace).
    """

    queue_class = TaskQueue

    def __init__(
        self,
        node_id: str,
        device_type: str,
        boot_nonce: str,
        capabilities: "dict[str, Any] | None" = None,
        namespace: str = "",
        queue_limit: int = 64,
        payload_limit: int = MAX_PAYLOAD_BYTES,
        ring_size: "tuple[int, int, int] | None" = None,
    ) -> None:
        from dcompute.node_names import check_node_id

        self.node_id = check_node_id(node_id)
        self.device_type = device_type
        self.capabilities = capabilities or {}
        self.topics = Topics(namespace)
        self.task_topic = self.topics.task_of(node_id)
        self.status_topic = self.topics.status_of(node_id)
        self.payload_limit = payload_limit
        self.status = READY
        self.inc = ""
        self.received = 0
        self.rejected = 0
        self.dropped = 0
        self.duplicates = 0
        self.repairs = 0
        self.heard = False  # what it said of itself over this connection has come back
        self.on_event: Callable[[str, dict[str, Any]], None] | None = None
        self.boot_nonce = boot_nonce
        self._connection = 0
        self._greeted = False
        self.queue = self.queue_class(queue_limit)
        self.ring: Any = None  # made, and on a board loaded, with the first task that asks for it
        self._ring_size = ring_size
        # Tasks taken in lately, a line each: a list of them would take ten times the heap, and one text would
        # not fit a heap in pieces.
        self._recent = ["\n"]
        self._noted = 0
        self._attempts: dict[str, int] = {}  # of tasks at work that were sent more than once
        self._unnamed = 0

    # --- connection -------------------------------------------------------------------------------------

    def will(self) -> "tuple[str, bytes, bool]":
        """Begin a new incarnation and return its last will; call before every CONNECT."""
        self._connection += 1
        self._greeted = self.heard = False
        self.inc = "%s.%d" % (self.boot_nonce, self._connection)
        return (self.status_topic, self._status_payload(DEAD), True)

    def greeting(self) -> "list[tuple[str, bytes, bool]]":
        """What to publish once the subscriptions are acknowledged: initialisation, then the status."""
        self._greeted = True
        message = {
            "node_id": self.node_id,
            "device_type": self.device_type,
            "status": CONNECTED,
            "inc": self.inc,
            "protocol": PROTOCOL,
            "capabilities": self.capabilities,
        }
        return [(self.topics.initialisation, encode(message), False), self.status_message()]

    def lost(self) -> None:
        """The connection is gone: a `dead` about this node is now true."""
        self._greeted = False

    # --- status and results -----------------------------------------------------------------------------

    def set_status(self, status: str) -> "tuple[str, bytes, bool]":
        """Remember `status` and return the message that publishes it. ValueError if it is no status."""
        self.status = check_status(status)
        return self.status_message()

    def status_message(self) -> "tuple[str, bytes, bool]":
        """The current status, to be retained."""
        self._tell("status_published", status=self.status, inc=self.inc)
        return (self.status_topic, self._status_payload(self.status), True)

    def result_message(
        self, result: "Any", task_id: "Any", timestamp: float
    ) -> "tuple[str, bytes, bool] | None":
        """A result ready to publish. `timestamp`: seconds of this node's clock. ValueError if it is no JSON.

        Without `task_id`, the result's own `task_id` field names the task, if it has one. None if nobody
        waits for it any more.
        """
        named = task_id is None and isinstance(result, dict)
        if named:
            task_id = result.get("task_id")
        if self.ring and str(task_id) in self.ring.at_work:
            return self.ring.result(str(task_id), result, timestamp, named)  # type: ignore[no-any-return]
        message: dict[str, Any] = {"node_id": self.node_id, "result": result, "timestamp": timestamp}
        message["inc"] = self.inc or self.boot_nonce + ".0"  # made before the first connection
        if task_id is not None:
            task_id = check_task_id(task_id)
            message["task_id"] = task_id
            if task_id in self._attempts:
                message["attempt"] = self._attempts.pop(task_id)
        payload = encode(message)
        self._tell("result_held", task=message.get("task_id", ""), value=result)
        return (self.topics.results, payload, False)

    def _status_payload(self, status: str) -> bytes:
        message: dict[str, Any] = {"node_id": self.node_id, "status": status, "inc": self.inc}
        if status != DEAD:
            message["device_type"] = self.device_type
            message["capabilities"] = self.capabilities
        return dumps(message).encode("utf-8")  # what it is made of, each connection's greeting has checked

    # --- what arrives -----------------------------------------------------------------------------------

    def receive(self, topic: str, payload: bytes, now_ms: int = 0) -> "list[tuple[str, bytes, bool]]":
        """Take in a message; returns what to publish in answer. Never raises, whatever the bytes.

        `now_ms`: of any clock, which may wrap at 2**30; for tasks that expire.
        """
        if topic == self.status_topic:
            return self._receive_own_status(payload)
        if topic != self.task_topic:
            return []
        try:
            task = decode_task(payload, self.payload_limit)
            if self._ring_size and "n" in task and "open" in task and "boot" in task:
                return self._receive_asked(task, payload, now_ms)
        except ValueError as error:
            self.rejected += 1
            self._tell("message_rejected", topic=topic, reason=str(error))
            return []
        if is_init_command(task):
            if self.status not in (BUSY, OFFLINE):  # who leaves has said its last word
                self.status = READY
            return [self.status_message()]
        self._enqueue(task, payload)
        return []

    def _receive_asked(
        self, task: "dict[str, Any]", payload: bytes, now_ms: int
    ) -> "list[tuple[str, bytes, bool]]":
        if self.ring is None:
            try:
                from dcompute.node_ring import Ring

                self.ring = Ring(self, self._ring_size, encode)  # type: ignore[arg-type]
            except MemoryError:  # a board with no room for it says that it takes tasks as they were before
                self._ring_size = None
                del self.capabilities["credit"]
                return [self.status_message()]
        return self.ring.receive(task, payload, now_ms)  # type: ignore[no-any-return]

    def _receive_own_status(self, payload: bytes) -> "list[tuple[str, bytes, bool]]":
        """A `dead` or `offline` about this connected node is an older connection's: put it right."""
        if not self._greeted or not payload:
            return []
        try:
            message = decode(payload, self.payload_limit)
        except Rejected:
            return []
        self.heard = self.heard or message.get("inc") == self.inc
        status = message.get("status")
        if status == self.status or status not in (DEAD, OFFLINE):
            return []
        return self.repair()

    def repair(self) -> "list[tuple[str, bytes, bool]]":
        """Publish the current status again, which repairs every observer and the retained copy."""
        self.repairs += 1
        self._tell("status_repaired", inc=self.inc)
        return [self.status_message()]

    def _enqueue(self, task: "dict[str, Any]", payload: bytes) -> None:
        if "id" not in task:  # an older master: the node's program may still rely on task["id"]
            self._unnamed += 1
            task["id"] = "%s-%d" % (self.inc, self._unnamed)
            payload = encode(task)
        task_id = check_task_id(task["id"])
        line = "%r#%d\n" % (task_id, task_attempt(task))
        # A master that lost patience sends a task again: while the first copy waits, a second one would only
        # make the queue longer, its patience shorter, and so on.
        known = task_id in self.queue.ids
        for note in self._recent:
            known = known or "\n" + line in note
        if known:
            self.duplicates += 1
            return
        if not self.queue.put(task, payload):
            self.dropped += 1
            self._tell("task_dropped", task=task_id, reason="queue full")
            return
        recent = self._recent
        if self._noted == _TASKS_PER_NOTE:
            self._noted = 0
            recent.append("\n")
            if len(recent) > _NOTES:
                recent.pop(0)
        recent[-1] += line
        self._noted += 1
        self.received += 1
        self._tell_task("task_received", task)

    # --- tasks ------------------------------------------------------------------------------------------

    def take(self) -> "dict[str, Any] | None":
        """The waiting task of highest priority (first in, first out within one), or None."""
        task = self.queue.take_next()
        if task is not None:
            attempt = task_attempt(task)
            asked = self.ring and self.ring.taken(task)
            if attempt > 1 and not asked and len(self._attempts) < _RECENT_TASKS:
                self._attempts[str(task["id"])] = attempt
            self._tell_task("task_taken", task)
        return task

    def waiting(self) -> int:
        """How many tasks wait."""
        return self.queue.length

    def _tell_task(self, name: str, task: "dict[str, Any]") -> None:
        if self.on_event is not None:
            self._tell(name, task=str(task["id"]), priority=task["priority"], attempt=task_attempt(task))

    def _tell(self, name: str, **fields: "Any") -> None:
        if self.on_event is not None:
            self.on_event(name, fields)
