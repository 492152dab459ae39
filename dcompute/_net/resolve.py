"""Names to addresses, without one that hangs holding up others.

asyncio looks names up on a pool of a few threads: six names whose DNS does not answer, for half a minute
each, and nobody connects any more; and as the pool's threads are joined at exit, the program does not end
either. So each name has a daemon thread of its own while it is looked up, which all who ask for the same
name share.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Sequence

AddressInfo = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[object, ...]]
_Answer = asyncio.Future[Sequence[AddressInfo]]
_Waiting = list[tuple[asyncio.AbstractEventLoop, _Answer]]

_lock = threading.Lock()
_under_way: dict[tuple[str, int], _Waiting] = {}


async def resolve(host: str, port: int) -> Sequence[AddressInfo]:
    """Return the addresses of `host`, which may be one itself. OSError or UnicodeError if it has none."""
    try:
        numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=numeric)
    except (socket.gaierror, UnicodeError):
        pass  # a name
    loop = asyncio.get_running_loop()
    answer: _Answer = loop.create_future()
    with _lock:
        waiting = _under_way.get((host, port))
        if waiting is None:
            waiting = _under_way[host, port] = []
            threading.Thread(target=_look_up, args=(host, port), name="dcompute-resolve", daemon=True).start()
        waiting.append((loop, answer))
    return await answer


def _look_up(host: str, port: int) -> None:
    found: Sequence[AddressInfo] = []
    error: Exception | None = None
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except Exception as caught:
        error = caught
    with _lock:
        waiting = _under_way.pop((host, port), [])
    for loop, answer in waiting:
        if not loop.is_closed():
            loop.call_soon_threadsafe(_settle, answer, found, error)


def _settle(answer: _Answer, found: Sequence[AddressInfo], error: Exception | None) -> None:
    if answer.done():  # who asked has given up
        return
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(found)


def _in_child() -> None:
    """Begin anew in a child: the threads are the parent's, and so may be the lock."""
    global _lock
    _lock = threading.Lock()
    _under_way.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
