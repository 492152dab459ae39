# What a node remembers of those whose work is acknowledged end to end: docs/protocol.md, "End to end".
#
# An asker (`from`) has at most `credit` tasks here that it has not settled, each under a number `n` of its
# own. Every message of its says which numbers are open; whatever is not, and is no higher than the message's
# own number, the asker will never want again. For each asker there are `top`, the highest number heard of,
# and `may`, the open numbers: what became of each, or None, "not come yet". As the window is bounded so is
# `may`, and yet it is a complete memory: the asker sends the same again as often as it is in doubt, and
# nothing is done twice.
#
# 1. A message for another life of the node (`boot`) does nothing: what the link sends again after a reboot
#    must not run in the new life too.
# 2. A message drops from `may` what it settles, and adds what it opens above `top`. Nothing up to `top` is
#    ever added: a message that was overtaken would make room for tasks that are done and forgotten.
# 3. What is not in `may` is not run.
# 4. What has an entry is answered from it, whatever the resources are now: refused, then sent twice, it would
#    run here after it went elsewhere.
# 5. Refusals, expiries, cancellations and what was recalled are kept like results, also of a task that has
#    not come yet: a cancel may overtake its task.
# 6. A settled entry leaves the queue; one at work ends outside the ring, its result unsent.
# 7. Each answer that is no result says whether the task `ran`: no, maybe or yes. What is kept has a budget of
#    bytes, beyond which the oldest result is `gone`.
# 8. There are slots for so many askers. One with nothing waiting or at work makes room for another; the
#    floors remember for all that were evicted: no number up to `floor` is run of an asker not known, and
#    none above `ran_floor` of theirs ever was.
#
# Rules 6 and 7 are in node_answers.py. Files of their own, with comments for docstrings, because a board
# loads them with the first such task: before that none of it is in the heap.

try:  # absent on MicroPython, which does not evaluate annotations
    from typing import Any
except ImportError:
    pass

from dcompute.node_answers import CLOCK_BITS, KEPT, LONGEST_MS, WAITING, WORKING, Answers, Entry
from dcompute.node_names import check_node_id

_HIGHEST_N = 9007199254740991  # what every JSON parser can hold exactly


class Asker:
    def __init__(self, top: int) -> None:
        self.top = top
        self.may: dict[int, Any] = {}
        self.heard = 0


class Ring(Answers):  # nothing private: the compiled firmware gives private names anew in each file
    # `core`: the NodeCore it serves; it hands over `encode` of node_wire, which is merged with it when
    # compiled. `size`: how many tasks one asker may have here, waiting and at work; how many askers; how many
    # bytes of results are kept until they are settled.

    def __init__(self, core: "Any", size: "tuple[int, int, int]", encode: "Any") -> None:
        Answers.__init__(self, core, size[2], encode)
        self.credit = size[0]
        self.slots = size[1]
        self.floor = 0
        self.ran_floor = 0
        self.turn = 0

    def receive(
        self, message: "dict[str, Any]", payload: bytes, now_ms: int
    ) -> "list[tuple[str, bytes, bool]]":
        # Take in a message of an asker; returns what to publish. Raises ValueError.
        self.check(message)
        answer = self.answer(message, payload, now_ms)
        if answer is None or message.get("settle"):
            return []
        if isinstance(answer, Entry):
            return [self.repeat(answer)] if answer.state == KEPT else []
        return [self.say(message, *answer)]

    def check(self, message: "dict[str, Any]") -> None:
        # By `type`: to CPython true is an int, to MicroPython it is none.
        n = message["n"]
        opened = message["open"]
        check_node_id(message.get("from"))
        if type(n) is not int or not 0 <= n <= _HIGHEST_N or not isinstance(opened, list):
            raise ValueError("`n` is no counter, or `open` no list")
        for each in opened:
            if type(each) is not int:
                raise ValueError("`open` is no list of counters")
        if type(message.get("expires_s", 0)) not in (int, float):
            raise ValueError("`expires_s` is no number")
        if not message.get("settle"):
            if "id" not in message or n not in opened:
                raise ValueError("a task without an id, or with an `n` that is not open")
            if type(message.setdefault("attempt", 1)) is not int:
                raise ValueError("`attempt` is no number")

    def answer(self, message: "dict[str, Any]", payload: bytes, now_ms: int) -> "Any":
        # An entry to answer from, or (what, ran, top), or None.
        n = message["n"]
        opened = message["open"]
        if message["boot"] != self.core.boot_nonce:
            return ("boot", "maybe")  # rule 1
        known = self.askers.get(message["from"])
        if known is None:  # rule 8
            if n > self.floor and not self.make_room():
                self.floor = n
                return ("slots", "no")
            if n <= self.floor:  # it may be so only since there is room
                return ("stale", "maybe" if n <= self.ran_floor else "no", self.floor)
            known = self.askers[message["from"]] = Asker(self.floor)
        self.turn += 1
        known.heard = self.turn
        if len(opened) > self.credit:
            return ("stale", "maybe", known.top)
        self.update(known, n, opened)
        if message.get("settle"):
            return None
        if n not in known.may:
            return ("stale", "maybe", known.top)  # rule 3
        entry = known.may[n]
        if entry is None:
            entry = known.may[n] = Entry(message["from"], message)
            self.take_in(entry, message, payload, now_ms)  # rule 5
        elif entry.id != str(message["id"]) or entry.attempt != message["attempt"]:
            return ("stale", "maybe", known.top)
        elif message.get("cancel"):
            self.cancel(entry)
        elif message.get("recall") and entry.state == WAITING:
            self.take_back(entry, "recalled")
        return entry  # rule 4

    def update(self, known: "Any", n: int, opened: "list[int]") -> None:
        # Rule 2.
        may = known.may
        for each in list(may):
            if each <= n and each not in opened:
                self.drop(may.pop(each))
        if n > known.top:
            for each in opened:
                if known.top < each <= n:
                    may[each] = None
            known.top = n

    def take_in(self, entry: "Any", message: "dict[str, Any]", payload: bytes, now_ms: int) -> None:
        queue = self.core.queue
        left_ms = message.get("expires_s", LONGEST_MS) * 1000
        if message.get("cancel"):
            entry.held = ("cancelled", "no")
        elif message.get("recall"):
            entry.held = ("recalled", "no")
        elif left_ms <= 0:
            entry.held = ("expired", "no")
        elif self.leaving:
            entry.held = ("leaving", "no")
        # Of this id there may be another asker's, or an attempt that was given up: one at a time.
        elif entry.id in self.at_work or entry.id in queue.ids or not queue.put(message, payload):
            entry.held = ("full", "no")
        else:
            entry.state = WAITING
            if left_ms < LONGEST_MS:
                entry.deadline_ms = (now_ms + int(left_ms)) & CLOCK_BITS
                self.deadlines = True
            self.core.received += 1
            self.tell("task_received", entry.id, priority=message["priority"], attempt=entry.attempt)

    def cancel(self, entry: "Any") -> None:
        if entry.state == WAITING:
            self.take_back(entry, "cancelled")
        elif entry.state == WORKING and not entry.cancelled:
            entry.cancelled = True
            self.cancelled.append(entry.id)

    def make_room(self) -> bool:
        # Rule 8. False when every asker has work here.
        if len(self.askers) < self.slots:
            return True
        idle = ""
        for name, known in self.askers.items():
            if not idle or known.heard < self.askers[idle].heard:
                for entry in known.may.values():
                    if entry is not None and entry.state != KEPT:
                        break
                else:
                    idle = name
        if not idle:
            return False
        known = self.askers.pop(idle)
        for entry in known.may.values():
            self.drop(entry)
        self.floor = max(self.floor, known.top)
        if known.may:
            self.ran_floor = max(self.ran_floor, max(known.may))
        return True
