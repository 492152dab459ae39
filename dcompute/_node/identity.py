"""A node id for programs that name none: the same at every start, different for every process anywhere.

It has to be stable: a fresh id at each start would leave the old one's last will and retained status behind.
And it has to be unique, or two nodes throw each other out for ever.

Rules
1. `<host name>-<fingerprint>-<slot>`. Host names are not unique: containers are given the same one, cards
   are cloned.
2. The fingerprint is a digest of what tells machines apart: the machine id (of an installation), the first
   network card's own address (clones of a disk or card differ in that), and, of a container, its namespaces
   of processes and network (two containers of one machine differ in those; they are new at each start of a
   container, as its host name is).
3. The slot tells processes of one machine apart: each takes the first that is free and holds it as long as
   it lives. It is the name of a socket, not a file: what ends with the process, however that ends, needs no
   folder that several users would have to share, and cannot be prepared by another user.

Rejected: a file lock in the temporary directory (another user may have made the folder, and a link in it;
containers with one host name each have their own); the process id (another one at each start).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from dcompute._fork import close_in_children
from dcompute.node_names import MAX_ID_CHARS

_MAX_SLOTS = 4096
_FIRST_PORT = 27_000  # where sockets have no names: below the ports that systems give out by themselves
_FINGERPRINT_CHARS = 6
_held: list[socket.socket] = []


def default_node_id() -> str:
    """Return `<host name>-<fingerprint>-<slot>`, with the slot held for the life of this process."""
    host = "".join(c if c.isascii() and (c.isalnum() or c in "_.-") else "-" for c in socket.gethostname())
    rest = f"-{fingerprint(_machine())}-{_take_slot()}"
    return f"{host[: MAX_ID_CHARS - len(rest)] or 'node'}{rest}"


def fingerprint(machine: Iterable[str]) -> str:
    """Return a short digest of what tells one machine from others."""
    return hashlib.sha256("\n".join(machine).encode()).hexdigest()[:_FINGERPRINT_CHARS]


def _machine() -> Iterator[str]:
    """Yield what tells this machine, or container, from others of the same host name."""
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        with contextlib.suppress(OSError):
            yield Path(path).read_text(encoding="ascii", errors="replace").strip()
            break
    yield _card_address()
    for namespace in ("pid", "net"):
        with contextlib.suppress(OSError):
            yield os.readlink(f"/proc/self/ns/{namespace}")


def _card_address() -> str:
    """Return the first network card's own address, "" where none is known."""
    try:
        cards = sorted(Path("/sys/class/net").iterdir(), key=lambda card: int((card / "ifindex").read_text()))
        for card in cards:
            if (card / "addr_assign_type").read_text().strip() == "0":  # its own: not drawn, not set
                address = (card / "address").read_text().strip()
                if address.strip("0:"):
                    return address
    except (OSError, ValueError):
        pass
    if sys.platform == "linux":
        return ""
    import uuid

    node = uuid.getnode()
    return "" if node >> 40 & 1 else f"{node:012x}"  # that bit: drawn, as none was found


def _take_slot() -> int:
    for slot in range(_MAX_SLOTS):
        try:
            _held.append(_socket_of(slot))
        except OSError:  # taken
            continue
        close_in_children(_held[-1])
        return slot
    raise RuntimeError(f"all {_MAX_SLOTS} node slots of this machine are taken: give node_id")


def _socket_of(slot: int) -> socket.socket:
    named = sys.platform == "linux"
    sock = socket.socket(socket.AF_UNIX if named else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.bind(f"\0dcompute-node-{slot}" if named else ("127.0.0.1", _FIRST_PORT + slot))
    except OSError:
        sock.close()
        raise
    return sock
