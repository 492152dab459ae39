"""What an executor has promised: the futures of its callers, by task, and what its journal knows of them.

Rules
1. A task is in the journal before `submit` returns: whoever has a future may rely on it that the work
   survives this process.
2. Its result leaves the journal when it was taken, not when it was known, since what nobody has seen yet
   would be lost with the process; and many at a time (FORGET_AT), for each is a commit. What is not forgotten
   in time, or cannot be, is offered once more after a restart.
3. The same key is the same task, also after a restart; its result stays until its key is forgotten. Without a
   journal it stays here, which is why futures of keys are kept when they are done. Another task under a known
   key is an error of whoever submits, and told as one.
4. Nothing is accepted once the executor is shut down: that is decided under the lock under which futures are
   collected to be waited for, so that none is overlooked.
5. Room is taken before the lock, for taking it may mean waiting; what turns out to be known already gives it
   back.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from dcompute._log import log
from dcompute.drivers import Driver
from dcompute.errors import JournalError
from dcompute.executor.future import FleetFuture, settle
from dcompute.executor.journal import Journal, Row
from dcompute.executor.model import Outcome, Settled, Task
from dcompute.executor.room import Room
from dcompute.executor.terms import Terms
from dcompute.node_core import check_task_id

FORGET_AT = 200  # results taken, that the journal then forgets at once


class Call(NamedTuple):
    """Work to be accepted: `body` is what the node's handler gets."""

    key: str | None
    body: bytes
    function: object
    """Its name, if it has one."""


class _Promise(NamedTuple):
    """A task that is new, and its future; `keyed`: its id is a key."""

    task: Task
    future: FleetFuture
    keyed: bool


class FutureBook:
    """The futures of one executor; follows the rules above. May be used from any thread.

    Args:
        cancel: asks for a task to be cancelled.
    """

    def __init__(
        self, driver: Driver, journal: Journal | None, room: Room, cancel: Callable[[str], None]
    ) -> None:
        self._driver = driver
        self._journal = journal
        self._room = room
        self._cancel = cancel
        self._lock = threading.Lock()
        self._futures: dict[str, FleetFuture] = {}  # of what is not over; without a journal, of keys too
        self._keyed: dict[str, bytes] = {}  # what the tasks of the keys among them are
        self._recovered: set[str] = set()  # tasks of the journal without a key, whose results were not taken
        self._taken: list[str] = []
        self._submitted = self._done = self._failed = 0
        self.is_shut = False
        self.is_closed = False

    def accept(self, calls: Sequence[Call], terms: Terms) -> tuple[list[FleetFuture], list[Task]]:
        """Promise that these calls will be done; waits for room.

        Returns:
            The future of each, and the tasks that are new.
        """
        self._room.enter(terms.priority, len(calls))
        try:
            with self._lock:
                if self.is_shut:
                    raise RuntimeError("cannot submit after shutdown")
                futures, new = self._promises(calls, terms)
                if self._journal is not None:
                    self._write_down(self._journal, new, terms)
                for task, future, keyed in new:
                    self._futures[task.id] = future
                    if keyed:
                        self._keyed[task.id] = task.body
                self._submitted += len(new)
        except BaseException:
            self._room.leave(terms.priority, len(calls))
            raise
        if len(new) < len(calls):
            self._room.leave(terms.priority, len(calls) - len(new))
        return futures, [promise.task for promise in new]

    def _promises(self, calls: Sequence[Call], terms: Terms) -> tuple[list[FleetFuture], list[_Promise]]:
        """Return the future of each call, and what is new: those whose key nobody knows."""
        deadline_s = None if terms.timeout_s is None else self._driver.now_s() + terms.timeout_s
        where, once, retries = terms.where, terms.once, terms.retries
        futures: list[FleetFuture] = []
        new: list[_Promise] = []
        for key, body, function in calls:
            known = self._known(key, body) if key is not None else None
            if known is not None:
                futures.append(known)
                continue
            task_id = check_task_id(key) if key is not None else os.urandom(16).hex()
            name = function if isinstance(function, str) else ""
            task = Task(
                *(task_id, body, terms.priority, name, where, once, deadline_s, retries), terms.speculate_s
            )
            future = self._future(task_id, once, keyed=key is not None)
            new.append(_Promise(task, future, key is not None))
            futures.append(future)
        return futures, new

    def _write_down(self, journal: Journal, new: list[_Promise], terms: Terms) -> None:
        end_s = None if terms.timeout_s is None else self._driver.wall_s() + terms.timeout_s
        journal.add(
            Row(
                *(task.id, task.body, terms.priority, task.function, terms.where, terms.once, end_s),
                terms.retries,
                keyed=keyed,
                speculate_s=terms.speculate_s,
            )
            for task, _, keyed in new
        )

    def over(self, settled: Settled) -> None:
        """Take in that a task is over."""
        task_id = settled.task.id
        with self._lock:
            future = self._futures.get(task_id)
            keyed = task_id in self._keyed
            if self._journal is not None or not keyed:
                self._futures.pop(task_id, None)
                self._keyed.pop(task_id, None)
            self._done += 1
            self._failed += settled.outcome not in (Outcome.RESULT, Outcome.CANCELLED)
        if future is not None:
            settle(future, settled)
            if self._journal is not None and settled.outcome is Outcome.CANCELLED and not keyed:
                self._note_taken(task_id)  # there is nothing to take
        self._room.leave(settled.task.priority)

    def of(self, task_id: str) -> FleetFuture | None:
        """Return the future of a task that is not over."""
        with self._lock:
            return self._futures.get(task_id)

    def counts(self) -> dict[str, int]:
        """Tell how many tasks were submitted, are over, and are so without a result (but for cancelled
        ones)."""
        with self._lock:
            return {"submitted": self._submitted, "done": self._done, "failed": self._failed}

    # --- what the journal brings back -----------------------------------------------------------------------

    def restore(self, journal: Journal) -> Iterator[Task]:
        """Take up what the journal has, task by task."""
        now_s, wall_s = self._driver.now_s(), self._driver.wall_s()
        self._recovered.update(journal.untaken())
        for row in journal.unsettled():
            deadline_s = None if row.deadline_s is None else now_s + row.deadline_s - wall_s
            self._futures[row.id] = self._future(row.id, row.once, keyed=row.keyed)
            if row.keyed:
                self._keyed[row.id] = row.body
            self._room.add(row.priority)
            yield _task_of(row, deadline_s)

    def recovered(self) -> dict[str, FleetFuture]:
        """Return, by task id, the tasks without a key whose results were not taken."""
        found = {}
        with self._lock:
            for task_id in self._recovered:
                future = self._futures.get(task_id) or self._from_journal(task_id)
                if future is not None:
                    found[task_id] = future
        return found

    def _known(self, key: str, body: bytes) -> FleetFuture | None:
        """Return the task of this key, if there is one already. ValueError if it is another one."""
        future = self._futures.get(key)
        found = self._keyed.get(key)
        if future is None and self._journal is not None and (row := self._journal.find(key)) is not None:
            future, found = self._settled_future(row), row.body
        if future is not None and found != body:
            raise ValueError(f"key {key!r} is that of another task")
        return future

    def _from_journal(self, task_id: str) -> FleetFuture | None:
        row = self._journal.find(task_id) if self._journal is not None else None
        return None if row is None or row.outcome is None else self._settled_future(row)

    def _settled_future(self, row: Row) -> FleetFuture:
        future = self._future(row.id, row.once, keyed=row.keyed)
        settle(future, Settled(_task_of(row, None), Outcome(row.outcome), row.value, row.node))
        return future

    def _future(self, task_id: str, once: bool, *, keyed: bool) -> FleetFuture:
        taken = self._note_taken if self._journal is not None and not keyed else None
        return FleetFuture(task_id, once, self._cancel, self._driver.deliver, taken)

    # --- what is kept no longer -----------------------------------------------------------------------------

    def forget(self, key: str) -> None:
        """Drop the result of the task of this key, or of all whose keys begin with it and a `/`."""
        if self._journal is not None:
            self._journal.forget_key(key)
            return
        with self._lock:
            named = [k for k in self._keyed if k == key or k.startswith(f"{key}/")]
            for task_id in named:
                if self._futures[task_id].done():
                    del self._keyed[task_id], self._futures[task_id]

    def forget_taken(self) -> None:
        """Let the journal forget the results that were taken."""
        with self._lock:
            taken, self._taken = self._taken, []
        if self._journal is not None and taken:
            try:
                self._journal.forget(taken)
            except JournalError as error:  # they are offered once more after a restart
                log.warning("%s", error)

    def _note_taken(self, task_id: str) -> None:
        with self._lock:
            self._taken.append(task_id)
            self._recovered.discard(task_id)
            full = len(self._taken) >= FORGET_AT
        if full:
            self.forget_taken()

    # --- the end --------------------------------------------------------------------------------------------

    def shut(self) -> list[FleetFuture]:
        """Accept nothing more; returns the futures that are not done."""
        with self._lock:
            self.is_shut = True
            return [future for future in self._futures.values() if not future.done()]

    def close(self) -> bool:
        """Accept nothing more; returns whether this was the first time that the executor is to be closed."""
        with self._lock:
            first = not self.is_closed
            self.is_shut = self.is_closed = True
            return first

    def undone(self) -> list[FleetFuture]:
        """Return the futures of what is not done."""
        return [future for future in list(self._futures.values()) if not future.done()]


def _task_of(row: Row, deadline_s: float | None) -> Task:
    return Task(
        *(row.id, row.body, row.priority, row.function, row.where, row.once, deadline_s, row.retries),
        *(row.speculate_s, row.attempt, row.lost, row.failed, row.cancelled),
    )


__all__ = ["Call", "FutureBook"]
