"""What a fork must not share: connections, and transports whose loop runs in the parent only.

Rules
1. A child has none of our sockets: one that it kept would hold the connection open after the parent's death,
   and the broker would wait for the keepalive instead of seeing the end at once. In the child each is
   replaced by /dev/null under its own number, as some Python object still believes that the number is its to
   close.
2. A transport works in the process that made it. In a child it raises `Forked`, except for its end, which
   does nothing there: `with` blocks and exit handlers run in children too.

A program that is started (`subprocess`, spawn) has no share in any of this: Python's sockets close at exec.
A fork by a C library that does not tell Python cannot be noticed.
"""

from __future__ import annotations

import os
import socket
import weakref

from dcompute.errors import Forked

_sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
_pid = os.getpid()  # kept: asking the system at each call of a transport took 3 us in a sandbox


def close_in_children(sock: socket.socket) -> None:
    """Let a child that is forked from now on have no share in this socket."""
    _sockets.add(sock)


def this_process() -> int:
    """Return the id of this process, in a fork its own."""
    return _pid


def check_process(pid: int, what: type) -> None:
    """Raise Forked unless this process is `pid`, the one that made `what`."""
    if _pid != pid:
        raise Forked(
            f"this {what.__name__} was made by process {pid}, of which this one ({_pid}) is a fork: "
            "make one here, or start processes by spawn"
        )


def _in_child() -> None:
    global _pid
    _pid = os.getpid()
    null = os.open(os.devnull, os.O_RDWR)
    for sock in list(_sockets):
        if sock.fileno() >= 0:
            os.dup2(null, sock.fileno(), inheritable=False)
    os.close(null)
    _sockets.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
