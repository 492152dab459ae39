"""Who has been silent for too long: the keepalive of connected clients, the patience with connecting ones.

Hearing from a client moves it to the end of a list of those with the same timeout (no timer is touched), so
the longest silent one is always in front, and a fleet of one keepalive needs one timer in all.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Generic, Protocol, TypeVar


class Heard(Protocol):
    """Whoever can fall silent."""

    last_in_s: float


H = TypeVar("H", bound=Heard)


class KeepaliveGroup(OrderedDict[H, None]):
    """Connections with one timeout, the longest silent first. `step_s`: lateness policy, see BrokerConfig."""

    def __init__(self, timeout_s: float, step_s: float) -> None:
        super().__init__()
        self.timeout_s = timeout_s
        self.step_s = step_s

    def deadline_s(self) -> float:
        """Return when the longest silent one is given up. The group must not be empty."""
        due_s = next(iter(self)).last_in_s + self.timeout_s
        return math.ceil(due_s / self.step_s) * self.step_s if self.step_s else due_s


class KeepaliveWatch(Generic[H]):
    """All groups, and the next moment one of them must be looked at."""

    def __init__(self) -> None:
        self._groups: dict[tuple[float, float], KeepaliveGroup[H]] = {}
        self.deadline_s: float | None = None  # may be early (nothing to do then), never late

    def add(self, connection: H, timeout_s: float, step_s: float = 0.0) -> KeepaliveGroup[H]:
        """Watch `connection` from its `last_in_s` on; returns the group in which hearing from it moves it."""
        group = self._groups.get((timeout_s, step_s))
        if group is None:
            group = self._groups[timeout_s, step_s] = KeepaliveGroup(timeout_s, step_s)
        group[connection] = None
        deadline_s = group.deadline_s()
        if self.deadline_s is None or deadline_s < self.deadline_s:
            self.deadline_s = deadline_s
        return group

    def take_silent(self, now_s: float) -> list[H]:
        """Take out and return those given up by `now_s`; move the deadline on."""
        silent: list[H] = []
        self.deadline_s = None
        for key, group in list(self._groups.items()):
            while group and group.deadline_s() <= now_s:
                silent.append(group.popitem(last=False)[0])
            if not group:
                del self._groups[key]
                continue
            deadline_s = group.deadline_s()
            if self.deadline_s is None or deadline_s < self.deadline_s:
                self.deadline_s = deadline_s
        return silent
