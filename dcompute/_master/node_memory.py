"""What a master believed of nodes, in a file, so that a crash of its own makes it forget nobody.

Without it a node that dies while the master is away, and whose broker then forgets it too (a restart without
persistence), is never missed: nobody is left who knew of it. What is written is whether a node is there, and
in which incarnation; not each `busy` and `ready`.

A `FleetExecutor` has the same in its journal, in the same table.

Whoever stops a master does so from a thread of his own, while the loop writes: what touches the file has the
lock. A connection of Python's sqlite3 that is closed while another thread is in it crashes the interpreter.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from dcompute._master.node_record import GONE
from dcompute.errors import JournalError

if TYPE_CHECKING:
    from dcompute.records import NodeInfo

SCHEMA = """
create table if not exists node (
    id text primary key, status text not null, inc text not null, device_type text not null,
    capabilities text not null, last_seen real not null
) without rowid;
"""
WRITE = "insert or replace into node values (?1, ?2, ?3, ?4, ?5, ?6)"
_FORMAT = 1


def row_of(info: NodeInfo) -> tuple[str | float, ...]:
    """Return a node's record, as the registry gives it, for `WRITE`."""
    said = json.dumps(info["capabilities"])
    return (info["node_id"], info["status"], info["inc"], info["device_type"], said, info["last_seen"])


def infos_in(db: sqlite3.Connection) -> list[NodeInfo]:
    """Return the records in the table."""
    found = db.execute("select id, status, inc, device_type, capabilities, last_seen from node").fetchall()
    return [
        {
            "node_id": node_id,
            "status": status,
            "inc": inc,
            "device_type": device_type,
            "capabilities": json.loads(capabilities),
            "last_seen": last_seen,
        }
        for node_id, status, inc, device_type, capabilities, last_seen in found
    ]


class Changes:
    """Which news of nodes is worth writing down."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[bool, str]] = {}

    def differ(self, node_id: str, status: str, inc: str) -> bool:
        """Tell whether this differs from what was said of the node last: `look` would take it in."""
        return self._known.get(node_id) != (status in GONE, inc)

    def look(self, node_id: str, info: NodeInfo | None) -> bool:
        """Tell whether this differs from what was said of the node last; None: nothing is known of it."""
        if info is None:
            return self._known.pop(node_id, None) is not None
        said = (info["status"] in GONE, info["inc"])
        if self._known.get(node_id) == said:
            return False
        self._known[node_id] = said
        return True


class NodeMemory:
    """A file with the beliefs of one master.

    Raises:
        JournalError: it is damaged, is something else, or another process has it open.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._changes = Changes()
        self._news: dict[str, tuple[str | float, ...] | None] = {}
        self._db: sqlite3.Connection | None = None
        self.open()

    def open(self) -> None:
        """Have the file for oneself again; no effect while it is open."""
        with self._lock:
            if self._db is None:
                self._db = _opened(self.path)

    def infos(self) -> list[NodeInfo]:
        """Tell what was believed."""
        with self._lock:
            return infos_in(self._db) if self._db is not None else []

    def note(self, node_id: str, info: NodeInfo | None) -> bool:
        """Believe this of the node from now on; None: forget it. Returns whether `write` is to be called."""
        with self._lock:
            if self._db is None or not self._changes.look(node_id, info):
                return False
            due = not self._news
            self._news[node_id] = None if info is None else row_of(info)
            return due

    def write(self) -> None:
        """Write down what was noted. Raises JournalError, with nothing written; what was noted stays so."""
        with self._lock:
            db = self._db
            if db is None or not self._news:
                return
            changed = [row for row in self._news.values() if row is not None]
            gone = [(node_id,) for node_id, row in self._news.items() if row is None]
            try:
                db.execute("begin")
                db.executemany(WRITE, changed)
                db.executemany("delete from node where id = ?", gone)
                db.execute("commit")
            except sqlite3.Error as error:
                if db.in_transaction:
                    db.execute("rollback")
                raise JournalError(f"journal {self.path}: {error}") from None
            self._news.clear()

    def close(self) -> None:
        """Close the file, and let others have it."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None


def _opened(path: Path) -> sqlite3.Connection:
    try:
        db = sqlite3.connect(path, timeout=0.5, isolation_level=None, check_same_thread=False)
        db.execute("pragma locking_mode = exclusive")
        db.execute("pragma journal_mode = wal")
        db.execute("pragma synchronous = normal")
        (format_,) = db.execute("pragma user_version").fetchone()
        (tables,) = db.execute("select count(*) from sqlite_master").fetchone()
        if tables and format_ != _FORMAT:
            raise sqlite3.DatabaseError("it is not that of a master")
        db.executescript(f"begin exclusive; {SCHEMA} pragma user_version = {_FORMAT}; commit;")
    except sqlite3.Error as error:
        why = "another process has it open" if "locked" in str(error) else str(error)
        raise JournalError(f"journal {path}: {why}") from None
    return db


__all__ = ["SCHEMA", "WRITE", "Changes", "NodeMemory", "infos_in", "row_of"]
