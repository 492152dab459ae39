"""The product's journal, opened when it is first read.

The journal of a program that never crashes is written and not read, and SQLite takes a sixth of a short run.
So what is written waits here, and goes into a `Journal` in memory, in the same order, as soon as an answer
depends on it: when the program is started again, or asks for a key that it has used before. What a restart
finds was all told to the product's own journal.

Rejected: a second journal made of dictionaries. It would be faster yet, and what comes after a crash would
then say nothing of the one that users have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dcompute.errors import JournalError
from dcompute.executor.journal import Journal, Row

if TYPE_CHECKING:
    from dcompute.records import NodeInfo

_IN_MEMORY = ":memory:"
MOST_WAITING = 2_000  # writes of some hundred bytes; who has more has not a short run


class LateJournal(Journal):
    """A journal in memory, for one run."""

    def __init__(self) -> None:
        self.path = Path(_IN_MEMORY)
        self._name = ""
        self._ids: set[str] = set()  # of tasks that were ever added
        self._waiting: list[Callable[[Journal], None]] = []
        self._journal: Journal | None = None
        self.refused: Callable[[], None] | None = None  # the disk is full; is told of each write

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()

    def name(self, new: str) -> str:
        self._name = self._name or new
        return self._name

    def add(self, rows: Iterable[Row]) -> None:
        self._check_disk()
        rows = list(rows)
        ids = [row.id for row in rows]
        if self._ids.isdisjoint(ids):
            self._later(partial(Journal.add, rows=rows))
        else:
            self._opened().add(rows)
        self._ids.update(ids)

    def write(self, batch: Iterable[tuple[object, ...]]) -> None:
        self._check_disk()
        self._later(partial(Journal.write, batch=list(batch)))

    def find(self, task_id: str) -> Row | None:
        return self._opened().find(task_id) if task_id in self._ids else None

    def unsettled(self) -> Iterator[Row]:
        return iter(()) if self._is_new() else self._opened().unsettled()

    def untaken(self) -> list[str]:
        return [] if self._is_new() else self._opened().untaken()

    def placed(self) -> dict[str, list[tuple[str, str, int, int, bool]]]:
        return {} if self._is_new() else self._opened().placed()

    def counters(self) -> list[tuple[str, str, int]]:
        return [] if self._is_new() else self._opened().counters()

    def nodes(self) -> list[NodeInfo]:
        return [] if self._is_new() else self._opened().nodes()

    def forget_key(self, key: str) -> None:
        self._check_disk()
        self._later(partial(Journal.forget_key, key=key))

    def forget(self, task_ids: Iterable[str]) -> None:
        self._check_disk()
        self._later(partial(Journal.forget, task_ids=list(task_ids)))

    def _check_disk(self) -> None:
        if self.refused is not None:
            self.refused()
            raise JournalError(f"journal {self.path}: database or disk is full")

    def _is_new(self) -> bool:
        return self._journal is None and not self._waiting

    def _later(self, write: Callable[[Journal], None]) -> None:
        if self._journal is not None:
            write(self._journal)
            return
        self._waiting.append(write)
        if len(self._waiting) > MOST_WAITING:
            self._opened()

    def _opened(self) -> Journal:
        if self._journal is None:
            self._journal = Journal(_IN_MEMORY)
            self._journal.name(self._name)
            for write in self._waiting:
                write(self._journal)
            self._waiting.clear()
        return self._journal
