"""The messages of a link that wait for a connection, or for room on it.

Rules
1. At most `limit` wait. Beyond that the newest is refused, or the oldest of the least urgent dropped: the
   link asks, and tells whoever has to know.
2. The most urgent goes first; within one priority, the one that was added first. What comes back from a
   connection that ended goes before the others of its priority (`add_first`).
3. A closing link's last words (LAST) go behind everything. They were said for one connection: said anew on
   the next, they would name the one that is gone, so they are forgotten by topic; and all of them, which
   would be a lie should the link start again, once it is closed or cut.

Programs add from any thread, the driver's loop takes: so there is a lock, which the caller of `add`,
`add_first` and `take` has, for he also decides under it.

Rejected: one queue for each priority, made beforehand. An empty deque takes 624 bytes, and a testbed has
thousands of links. There is one as long as something waits in it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Container, Sequence

from dcompute._mqtt.link_owner import Outgoing

LAST = -1
"""The priority of a closing link's last words."""


class Held:
    """What one link holds; follows the rules above.

    Args:
        limit: how many messages may wait.
        drops_oldest: beyond that, drop the oldest (of the least urgent) instead of refusing the newest.

    Attributes:
        lanes: the messages by priority; none is empty.
        count: of the messages in there.
    """

    __slots__ = ("count", "drops_oldest", "lanes", "limit", "lock")

    def __init__(self, limit: int, *, drops_oldest: bool) -> None:
        if drops_oldest and limit < 1:
            raise ValueError(f"hold_limit must be at least 1, not {limit!r}: one has to be held")
        self.limit = limit
        self.drops_oldest = drops_oldest
        self.lanes: dict[int, deque[Outgoing]] = {}
        self.count = 0
        self.lock = threading.Lock()

    def add(self, priority: int, messages: Sequence[Outgoing]) -> None:
        """Add behind the others of a priority."""
        self.lanes.setdefault(priority, deque()).extend(messages)
        self.count += len(messages)

    def add_first(self, priority: int, message: Outgoing) -> None:
        """Add before the others of a priority."""
        self.lanes.setdefault(priority, deque()).appendleft(message)
        self.count += 1

    def take(self, priority: int) -> Outgoing:
        """Take the first message of a priority, which is there, out."""
        lane = self.lanes[priority]
        message = lane.popleft()
        if not lane:
            del self.lanes[priority]
            if not self.lanes:
                self.lanes = {}  # one that held something keeps its room, 170 bytes of an idle node
        self.count -= 1
        return message

    def forget_last_words(self, topics: Container[str] | None = None) -> None:
        """Drop the last words on these topics; or all of them. Takes the lock itself."""
        with self.lock:
            last = [self.take(LAST) for _ in range(len(self.lanes.get(LAST, ())))]
            kept = [message for message in last if topics is not None and message[0] not in topics]
            if kept:
                self.add(LAST, kept)


__all__ = ["LAST", "Held"]
