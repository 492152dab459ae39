# What became of each task of an asker, kept until the asker settles it: the lower half of the ring.
# The rules by number are those of node_ring.py, whose base this is; two files, because a board has to compile
# each in the heap that its work leaves.

try:  # absent on MicroPython, which does not evaluate annotations
    from typing import Any
except ImportError:
    pass

WAITING = 1
WORKING = 2
OUTSIDE = 3  # at work, and settled meanwhile
KEPT = 4
CLOCK_BITS = 0x3FFFFFFF  # milliseconds wrap as a board's ticks do
LONGEST_MS = 0x1FFFFFFF  # six days; what expires later does not expire


class Entry:
    # One number of one asker; `held` is the answer kept: a result's payload, or (what, ran).

    def __init__(self, asker: str, message: "dict[str, Any]") -> None:
        self.asker = asker
        self.n: int = message["n"]
        self.id = str(message["id"])
        self.attempt: int = message["attempt"]
        self.state = KEPT
        self.held: Any = ("full", "no")  # until it is taken in, for which a board may have no memory
        self.deadline_ms = -1
        self.cancelled = False


class Answers:
    def __init__(self, core: "Any", keep_bytes: int, encode: "Any") -> None:
        self.core = core
        self.encode = encode
        self.leaving = False  # the node takes no more work
        self.cancelled: list[str] = []  # tasks at work that are not wanted, until collected or answered
        self.at_work: dict[str, Any] = {}  # task id -> entry
        self.askers: dict[str, Any] = {}
        self.deadlines = False  # something that waits may expire
        self._keep_bytes = keep_bytes
        self._kept_bytes = 0
        self._results: list[Any] = []  # entries with a result, the oldest first

    # --- the node's work --------------------------------------------------------------------------------

    def taken(self, task: "dict[str, Any]") -> bool:
        # The task that has left the queue is at work now. False if it is none of the ring's.
        known = self.askers.get(str(task.get("from")))
        entry = known.may.get(task.get("n")) if known else None
        if entry is None or entry.state != WAITING or entry.id != str(task["id"]):
            return False
        entry.state = WORKING
        self.at_work[entry.id] = entry
        return True

    def result(
        self, task_id: str, result: "Any", timestamp: float, in_parts: bool
    ) -> "tuple[str, bytes, bool] | None":
        # The result of a task at work, None if it is settled already. ValueError if it is no JSON: then the
        # task is still at work. `in_parts`: beside the task's id it has `output`, or `error` (its type, ": ",
        # its message) and `traceback`.
        core = self.core
        error = None
        if in_parts:
            if "error" in result:
                kind, _, text = str(result["error"]).partition(": ")
                error = {"type": kind, "message": text, "traceback": result.get("traceback", "")}
            result = result.get("output", result)
        entry = self.at_work[task_id]
        message: dict[str, Any] = {"node_id": core.node_id, "timestamp": timestamp, "inc": core.inc}
        message["task_id"] = task_id
        message["attempt"] = entry.attempt
        message["n"] = entry.n
        message["ok"] = error is None
        message["result"] = result if error is None else None
        if error is not None:
            message["error"] = error
        payload = self.encode(message)
        del self.at_work[task_id]
        if task_id in self.cancelled:
            self.cancelled.remove(task_id)
        if entry.state == OUTSIDE:
            return None
        entry.state = KEPT
        self._keep(entry, payload)
        self.tell("result_held", task_id, value=result)
        return (self.topic_of(entry.asker), payload, False)

    def progress(self, entry: "Any", fraction: float, text: str) -> "tuple[str, bytes, bool]":
        # How far a task at work is.
        core = self.core
        message: dict[str, Any] = {"node_id": core.node_id, "inc": core.inc, "progress": fraction}
        message["task_id"] = entry.id
        message["attempt"] = entry.attempt
        message["n"] = entry.n
        message["text"] = text
        return (self.topic_of(entry.asker), self.encode(message), False)

    def _keep(self, entry: "Any", payload: bytes) -> None:
        # Rule 7.
        entry.held = ("gone", "yes")
        if len(payload) > self._keep_bytes:
            return
        self._results.append(entry)  # first, as there may be no memory for it
        entry.held = payload
        self._kept_bytes += len(payload)
        while self._kept_bytes > self._keep_bytes:
            oldest = self._results.pop(0)
            self._kept_bytes -= len(oldest.held)
            oldest.held = ("gone", "yes")

    # --- what is not wanted any more ----------------------------------------------------------------------

    def drop(self, entry: "Any") -> None:
        # Rule 6. None is a number whose task has not come.
        if entry is None:
            return
        if entry.state == WAITING:
            self.unqueue(entry)
        elif entry.state == WORKING:
            entry.state = OUTSIDE
            if not entry.cancelled:
                self.cancelled.append(entry.id)
        elif entry in self._results:
            self._results.remove(entry)
            self._kept_bytes -= len(entry.held)

    def take_back(self, entry: "Any", answer: str) -> None:
        entry.held = (answer, "no")
        entry.state = KEPT
        self.unqueue(entry)

    def unqueue(self, entry: "Any") -> None:
        queue = self.core.queue
        queue.line.remove(queue.ids.pop(entry.id))
        queue.length -= 1
        self.tell("task_withdrawn", entry.id)

    def expire(self, now_ms: int) -> "list[tuple[str, bytes, bool]]":
        # Take back what has waited too long; returns what to publish. To be called before a task is taken.
        answers: list[tuple[str, bytes, bool]] = []
        if not self.deadlines:
            return answers
        self.deadlines = False
        for entry in self._waiting():
            if entry.deadline_ms < 0:
                continue
            if (now_ms - entry.deadline_ms) & CLOCK_BITS < LONGEST_MS:
                self.take_back(entry, "expired")
                answers.append(self.repeat(entry))
            else:
                self.deadlines = True
        return answers

    def give_back(self) -> "list[tuple[str, bytes, bool]]":
        # The node is going: whatever waits can be done elsewhere, and no more is taken.
        self.leaving = True
        answers = []
        for entry in self._waiting():
            self.take_back(entry, "leaving")
            answers.append(self.repeat(entry))
        return answers

    def _waiting(self) -> "list[Any]":
        found = []
        for known in self.askers.values():
            for entry in known.may.values():
                if entry is not None and entry.state == WAITING:
                    found.append(entry)
        return found

    # --- answers ----------------------------------------------------------------------------------------

    def topic_of(self, asker: str) -> str:
        return "%s/%s" % (self.core.topics.results, asker)

    def repeat(self, entry: "Any") -> "tuple[str, bytes, bool]":
        if isinstance(entry.held, tuple):
            what, ran = entry.held
            about = {"from": entry.asker, "n": entry.n, "id": entry.id, "attempt": entry.attempt}
            return self.say(about, what, ran)
        return (self.topic_of(entry.asker), entry.held, False)

    def say(
        self, about: "dict[str, Any]", answer: str, ran: str, top: "int | None" = None
    ) -> "tuple[str, bytes, bool]":
        core = self.core
        message = {"node_id": core.node_id, "inc": core.inc, "answer": answer, "ran": ran}
        message["task_id"] = str(about["id"])
        message["attempt"] = about["attempt"]
        message["n"] = about["n"]
        if top is not None:
            message["top"] = top
        return (self.topic_of(about["from"]), self.encode(message), False)

    def tell(self, event: str, task: str, **fields: "Any") -> None:
        if self.core.on_event is not None:
            fields["task"] = task
            self.core.on_event(event, fields)
