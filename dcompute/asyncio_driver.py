"""The driver of production: byte channels, timers and callbacks on an asyncio loop."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dcompute._log import log
from dcompute.drivers import Address, ChannelUser, Timer


class _Protocol(asyncio.Protocol):
    """Joins an asyncio transport to a ChannelUser."""

    def __init__(self, user: ChannelUser) -> None:
        self._user = user

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            # Without it a QoS 1 round trip takes 44 ms instead of 0.3 (Nagle against delayed
            # acknowledgement).
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._user.channel_open(transport)

    def data_received(self, data: bytes) -> None:
        self._user.channel_data(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._user.channel_lost(error)


class _Dial:
    """A connection attempt under way."""

    def __init__(self, loop: asyncio.AbstractEventLoop, address: Address, user: ChannelUser) -> None:
        self._user = user
        self._task = loop.create_task(self._open(loop, address))

    async def _open(self, loop: asyncio.AbstractEventLoop, address: Address) -> None:
        try:
            await loop.create_connection(
                lambda: _Protocol(self._user), address.host, address.port, ssl=address.tls
            )
        except (OSError, ValueError, OverflowError) as error:  # the latter two: a host or port that is none
            self._user.channel_lost(error)

    def cancel(self) -> None:
        self._task.cancel()


class AsyncioDriver:
    """Runs clients on an asyncio loop.

    Args:
        loop: the caller's own loop; None starts one on a daemon thread, which `AsyncioDriver.shared()`
            gives to all transports of the process.
        inline_callbacks: run users' callbacks on the loop itself instead of on one dispatcher thread.
    """

    _shared: AsyncioDriver | None = None
    _shared_lock = threading.Lock()

    def __init__(
        self, loop: asyncio.AbstractEventLoop | None = None, *, inline_callbacks: bool = False
    ) -> None:
        self.random = random.SystemRandom()  # challenges of updates are drawn from it
        self._inline_callbacks = inline_callbacks
        self._dispatcher: ThreadPoolExecutor | None = None
        self._loop = loop or self._start_loop()

    @classmethod
    def shared(cls) -> AsyncioDriver:
        """The process's background loop, started at first use (again after a fork)."""
        with cls._shared_lock:
            if cls._shared is None or not cls._shared._thread.is_alive():
                cls._shared = cls()
            return cls._shared

    def _start_loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=loop.run_forever, name="dcompute-loop", daemon=True)
        self._thread.start()
        return loop

    def now_s(self) -> float:
        """Return monotonic seconds."""
        return self._loop.time()

    def wall_s(self) -> float:
        """Return seconds since 1970."""
        return time.time()

    def call_on_loop(self, call: Callable[[], None]) -> None:
        """Run `call` on the loop, at once when already there; may be called from any thread."""
        if self._on_loop():
            call()
        else:
            self._loop.call_soon_threadsafe(call)

    def call_later(self, delay_s: float, call: Callable[[], None]) -> Timer:
        """Run `call` on the loop after `delay_s` seconds; only from the loop."""
        return self._loop.call_later(delay_s, call)

    def dial(self, address: Address, user: ChannelUser) -> Timer:
        """Open a channel, which `user` is told of; cancelling the result gives up."""
        return _Dial(self._loop, address, user)

    def deliver(self, call: Callable[[], None]) -> None:
        """Run a user's callback, in order; what it raises is logged."""
        if self._inline_callbacks:
            _guarded(call)
            return
        if self._dispatcher is None:
            self._dispatcher = ThreadPoolExecutor(1, thread_name_prefix="dcompute-callbacks")
        self._dispatcher.submit(_guarded, call)

    def wait(self, started: Callable[[Callable[[], None]], None], timeout_s: float) -> bool:
        """Run `started(done)` on the loop and wait until `done` is called; False when it takes too long."""
        finished = threading.Event()
        self.call_on_loop(lambda: started(finished.set))
        return finished.wait(0 if self._on_loop() else timeout_s)

    def _on_loop(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False


def _guarded(call: Callable[[], Any]) -> None:
    """A user's callback may raise; that is logged and stops nothing."""
    try:
        call()
    except Exception:
        log.exception("a callback raised")


__all__ = ["AsyncioDriver"]
