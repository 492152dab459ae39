"""The journal of a FleetExecutor: what it has promised, so that a kill at any moment loses and repeats
nothing.

A task is in it before `submit` returns; a placement before its bytes are sent; a result before it is
reported. The core writes in batches, and a batch is one transaction: group commit. In WAL mode a commit
survives the death of the process; that of the machine, with `synchronous=FULL`, at the price of an fsync for
each batch.

The file is locked for as long as it is open: two processes of one name would take each other's numbers. A
copy put back from a backup needs a new name (`from`), and its unfinished tasks may run again: what was placed
since is not in it.
"""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcompute._master.node_memory import SCHEMA as NODE_SCHEMA
from dcompute._master.node_memory import WRITE as WRITE_NODE
from dcompute._master.node_memory import infos_in
from dcompute._value import value
from dcompute.errors import JournalError

_FORMAT = 2
_SCHEMA = (
    """
create table if not exists about (key text primary key, value text) without rowid;
create table if not exists task (
    number integer primary key, id text unique not null, body blob not null, priority int not null,
    function text not null, wanted text not null, once int not null, deadline_s real, retries int,
    keyed int not null, attempt int not null default 1, lost int not null default 0,
    failed int not null default 0, cancelled int not null default 0,
    outcome text, value text, node text, speculate_s real
);
create index if not exists unsettled on task (number) where outcome is null;
create table if not exists placed (
    task text not null, node text not null, life text not null, n int not null, attempt int not null,
    active int not null, primary key (task, node, life)
) without rowid;
create table if not exists counter (node text primary key, life text not null, top int not null) without
rowid;
"""
    + NODE_SCHEMA
)

if TYPE_CHECKING:
    from dcompute.records import NodeInfo

_WRITES = {
    "placed": (
        "insert or replace into placed values (?1, ?2, ?3, ?4, ?5, 1)",
        "insert or replace into counter values (?2, ?3, ?4)",
    ),
    "attempt": ("update task set attempt = ?2, lost = ?3, failed = ?4 where id = ?1",),
    "closed": ("delete from placed where task = ?1 and node = ?2 and life = ?3",),
    "moved": ("update placed set active = 0 where task = ?1 and node = ?2 and life = ?3",),
    "back": ("update placed set active = 1 where task = ?1 and node = ?2 and life = ?3",),
    "cancel": ("update task set cancelled = 1 where id = ?1",),
    "node": (WRITE_NODE,),
    "settled": (
        "update task set outcome = ?2, value = ?3, node = ?4 where id = ?1",
        "delete from placed where task = ?1",
    ),
}
_STATEMENTS = {  # with how many of a write's values each takes
    kind: [(text, max(int(number) for number in re.findall(r"\?(\d)", text))) for text in texts]
    for kind, texts in _WRITES.items()
}


@value
class Row:
    """A task as the journal has it."""

    id: str
    body: bytes
    priority: int
    function: str
    where: dict[str, object]
    once: bool
    deadline_s: float | None  # seconds since 1970
    retries: int | None
    keyed: bool
    attempt: int = 1
    lost: int = 0
    failed: int = 0
    cancelled: bool = False
    outcome: str | None = None
    value: Any = None
    node: str = ""
    speculate_s: float | None = None


class Journal:
    """An open journal. Its methods may be called from any thread.

    Args:
        path: the file; made if need be.
        durable: survive power loss too.

    Raises:
        JournalError: it is damaged, is not a journal, or another process has it open.
    """

    def __init__(self, path: str | Path, *, durable: bool = False) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        try:
            self._db = sqlite3.connect(
                self.path, timeout=0.5, isolation_level=None, check_same_thread=False, cached_statements=64
            )
            self._open(durable)
        except sqlite3.Error as error:
            why = f"{error}: is it a journal, and whole?"
            if "locked" in str(error):
                why = "another process has it open"
            elif not self.path.parent.is_dir():
                why = f"there is no folder {self.path.parent}"
            raise JournalError(f"journal {self.path}: {why}") from None

    def _open(self, durable: bool) -> None:
        db = self._db
        db.execute("pragma locking_mode = exclusive")
        db.execute("pragma journal_mode = wal")
        db.execute(f"pragma synchronous = {'full' if durable else 'normal'}")
        (health,) = db.execute("pragma quick_check(1)").fetchone()
        if health != "ok":
            raise sqlite3.DatabaseError(health)
        (format_,) = db.execute("pragma user_version").fetchone()
        (tables,) = db.execute("select count(*) from sqlite_master").fetchone()
        if tables and format_ != _FORMAT:
            raise sqlite3.DatabaseError(f"its format is {format_}, not {_FORMAT}")
        db.executescript(f"begin exclusive; {_SCHEMA} pragma user_version = {_FORMAT}; commit;")

    def close(self) -> None:
        """Close the file, and let others have it."""
        with self._lock:
            self._db.close()

    def name(self, new: str) -> str:
        """Return the name (`from`) of the asker whose journal this is; `new` if it has none yet."""
        with self._transaction():
            self._db.execute("insert or ignore into about values ('from', ?)", (new,))
            (name,) = self._db.execute("select value from about where key = 'from'").fetchone()
            return str(name)

    def add(self, rows: Iterable[Row]) -> None:
        """Accept tasks: once this returns, they are not lost."""
        columns = "id, body, priority, function, wanted, once, deadline_s, retries, keyed, speculate_s"
        with self._transaction():
            self._db.executemany(
                f"insert into task ({columns}) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    (
                        *(row.id, row.body, row.priority, row.function, json.dumps(row.where)),
                        *(row.once, row.deadline_s, row.retries, row.keyed, row.speculate_s),
                    )
                    for row in rows
                ),
            )

    def write(self, batch: Iterable[tuple[Any, ...]]) -> None:
        """Commit what the core has decided, all of it or nothing."""
        with self._transaction():
            execute = self._db.execute
            for kind, *values in batch:
                if kind == "settled":
                    values[2] = json.dumps(values[2])
                for statement, count in _STATEMENTS[kind]:
                    execute(statement, values[:count])

    def find(self, task_id: str) -> Row | None:
        """Return one task, settled or not."""
        with self._lock:
            found = self._db.execute(f"select {_COLUMNS} from task where id = ?", (task_id,)).fetchone()
        return _row(found) if found else None

    def unsettled(self) -> Iterator[Row]:
        """Return the tasks that are not over, in the order in which they came."""
        with self._lock:
            found = self._db.execute(
                f"select {_COLUMNS} from task where outcome is null order by number"
            ).fetchall()
        return map(_row, found)

    def untaken(self) -> list[str]:
        """Return the ids of the tasks without a key, over or not: their results are for whoever asks."""
        with self._lock:
            found = self._db.execute("select id from task where not keyed order by number").fetchall()
        return [task_id for (task_id,) in found]

    def placed(self) -> dict[str, list[tuple[str, str, int, int, bool]]]:
        """Return (node, life, n, attempt, active) of each task's placements."""
        placed: dict[str, list[tuple[str, str, int, int, bool]]] = {}
        with self._lock:
            for task, node, life, n, attempt, active in self._db.execute("select * from placed"):
                placed.setdefault(task, []).append((node, life, n, attempt, bool(active)))
        return placed

    def counters(self) -> list[tuple[str, str, int]]:
        """Return (node, life, highest number used)."""
        with self._lock:
            return self._db.execute("select node, life, top from counter").fetchall()

    def nodes(self) -> list[NodeInfo]:
        """Tell what was believed of nodes."""
        with self._lock:
            return infos_in(self._db)

    def forget_key(self, key: str) -> None:
        """Forget the task of this key, or those of the map of this key, as far as they are over."""
        with self._transaction():
            self._db.execute(
                "delete from task where outcome is not null and (id = ?1 or substr(id, 1, ?2) = ?1 || '/')",
                (key, len(key) + 1),
            )

    def forget(self, task_ids: Iterable[str]) -> None:
        """Settled tasks whose results were taken."""
        with self._transaction():
            self._db.executemany(
                "delete from task where id = ? and outcome is not null", ((task_id,) for task_id in task_ids)
            )

    def _transaction(self) -> _Transaction:
        return _Transaction(self)


class _Transaction:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def __enter__(self) -> None:
        self._journal._lock.acquire()
        try:
            self._journal._db.execute("begin")
        except sqlite3.Error as error:
            self._journal._lock.release()
            raise JournalError(f"journal {self._journal.path}: {error}") from None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _where: object) -> None:
        db = self._journal._db
        try:
            if kind is None:
                try:
                    db.execute("commit")
                    return
                except sqlite3.Error as failure:
                    error = failure
            try:
                if db.in_transaction:
                    db.execute("rollback")
            except sqlite3.Error as failure:  # a full disk may refuse even that; the file is as it was
                error = error or failure
            if isinstance(error, sqlite3.IntegrityError):
                raise ValueError(f"a task of this key is in the journal: {error}") from None
            if isinstance(error, sqlite3.Error):
                raise JournalError(f"journal {self._journal.path}: {error}") from None
        finally:
            self._journal._lock.release()


_COLUMNS = (
    "id, body, priority, function, wanted, once, deadline_s, retries, keyed, attempt, lost, failed,"
    " cancelled, outcome, value, node, speculate_s"
)


def _row(values: tuple[Any, ...]) -> Row:
    id_, body, priority, function, wanted, once, deadline_s, retries, keyed, *rest = values
    attempt, lost, failed, cancelled, outcome, value, node, speculate_s = rest
    return Row(
        *(id_, body, priority, function, json.loads(wanted), bool(once), deadline_s, retries, bool(keyed)),
        *(attempt, lost, failed, bool(cancelled), outcome),
        *(None if value is None else json.loads(value), node or "", speculate_s),
    )
