"""How many tasks may be on their way at a time.

Who submits faster than the fleet works would fill the memory: a task that waits takes about 2.6 KB, its
future among it. So there is a bound at which `submit` waits: a loop over a million tasks needs no care, and
no more memory than one over ten thousand.

Rules
1. A task counts from its acceptance until it is over.
2. Less urgent ones do not count: an urgent task is not to wait, in `submit`, for those that it would pass in
   the queue. So the bound is for each priority together with what is above it.
3. The bound is never below twice what the nodes take: a large fleet is not to starve on it.
4. On the driver's loop nobody can wait, as it would wait for itself: there `Backlogged` is raised.

Rejected: leaving what waits in the journal alone, to be read when there is room. Whoever submits holds a
future of each task in any case, the larger half of what it takes; and without a journal it would not help.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from dcompute._log import log
from dcompute._plural import noun, number_of
from dcompute.drivers import Driver
from dcompute.errors import Backlogged
from dcompute.node_wire import HIGHEST_PRIORITY

SAY_AFTER_S = 10.0


class Room:
    """Counts the tasks that are on their way.

    Args:
        most: how many there may be; None: any number.
    """

    def __init__(self, driver: Driver, most: int | None) -> None:
        if most is not None and most < 1:
            raise ValueError(f"max_pending is at least 1, not {most}")
        self._driver = driver
        self._most = most
        self._lock = threading.Lock()
        self._counts = [0] * (HIGHEST_PRIORITY + 1)  # by priority
        self._fleet_takes = 0
        self._waiting: list[Callable[[], None]] = []

    def fleet_takes(self, tasks: int) -> None:
        """Take in that all nodes together take so many tasks at a time."""
        self._fleet_takes = tasks
        self._wake()

    def limit(self) -> int | None:
        """Tell how many there may be now."""
        return None if self._most is None else max(self._most, 2 * self._fleet_takes)

    def enter(self, priority: int, tasks: int) -> None:
        """Wait until there is room for so many, and take it. Raises Backlogged on the driver's loop."""
        while True:
            with self._lock:
                if self._has_room(priority, tasks):
                    self._counts[priority] += tasks
                    return
            began_s = self._driver.now_s()
            if self._driver.wait(partial(self._when_room, priority, tasks), SAY_AFTER_S):
                continue
            count = sum(self._counts)
            if self._driver.now_s() - began_s < SAY_AFTER_S / 2:  # it was the loop: it does not wait
                raise Backlogged(
                    f"{count:,} {noun(count, 'task is', 'tasks are')} on the way, as many as "
                    "max_pending allows"
                )
            log.warning(
                "executor: submit waits: %s on the way, and the nodes take %d at a time",
                number_of(count, "task is", "tasks are"),
                self._fleet_takes,
            )

    def add(self, priority: int) -> None:
        """Count a task that is on its way already."""
        with self._lock:
            self._counts[priority] += 1

    def leave(self, priority: int, tasks: int = 1) -> None:
        """Give back the room of tasks."""
        with self._lock:
            self._counts[priority] -= tasks
        self._wake()

    def open(self) -> None:
        """Let in whoever waits: there will be no more tasks."""
        self._most = None
        self._wake()

    def by_priority(self) -> dict[str, int]:
        """Tell how many are on their way, where there are any."""
        return {str(priority): count for priority, count in enumerate(self._counts) if count}

    def _has_room(self, priority: int, tasks: int) -> bool:
        """Tell whether they fit; more than would ever fit do when there are no others."""
        limit = self.limit()
        if limit is None:
            return True
        count = sum(self._counts[priority:])
        return count + tasks <= limit or not count

    def _when_room(self, priority: int, tasks: int, tell: Callable[[], None]) -> None:
        with self._lock:
            if not self._has_room(priority, tasks):
                self._waiting.append(tell)
                return
        tell()

    def _wake(self) -> None:
        if self._waiting:
            with self._lock:
                waiting, self._waiting = self._waiting, []
            for tell in waiting:
                tell()
