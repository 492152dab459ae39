"""The driver of production: byte channels, timers and callbacks on an asyncio loop."""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

from dcompute._log import guarded, log
from dcompute._net.dial import Dial
from dcompute.drivers import Address, ChannelUser, Timer


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
        self._dispatched: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._dispatcher: threading.Thread | None = None
        self._thread: threading.Thread | None = None
        self._loop = loop or asyncio.new_event_loop()
        if loop is None:
            self._thread = threading.Thread(
                target=_run, args=(self._loop,), name="dcompute-loop", daemon=True
            )
            self._thread.start()

    @classmethod
    def shared(cls) -> AsyncioDriver:
        """Return the process's background loop, started at first use (again after a fork)."""
        with cls._shared_lock:
            shared = cls._shared
            if shared is None or shared._thread is None or not shared._thread.is_alive():
                shared = cls._shared = cls()
            return shared

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
        return Dial(self._loop, address, user)

    def deliver(self, call: Callable[[], None]) -> None:
        """Run a user's callback, in order; what it raises is logged."""
        if self._inline_callbacks:
            guarded("a callback", call)
            return
        self._dispatched.put(call)
        if self._dispatcher is None:
            # A daemon, not a pool's thread: one that a callback blocks must not keep the program from ending.
            dispatcher = threading.Thread(
                target=_dispatch, args=(self._dispatched,), name="dcompute-callbacks", daemon=True
            )
            try:
                dispatcher.start()
            except RuntimeError:  # no more threads: perhaps at the next callback
                log.exception("no thread for callbacks")
            else:
                self._dispatcher = dispatcher

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


def _run(loop: asyncio.AbstractEventLoop) -> None:
    """Turn the loop for ever: whatever comes out of it, the transports of the process hang on it."""
    while True:
        try:
            loop.run_forever()
        except BaseException:
            log.exception("the loop of the transports was interrupted; it goes on")


def _dispatch(calls: SimpleQueue[Callable[[], None]]) -> None:
    while True:
        guarded("a callback", calls.get())


def _in_child() -> None:
    """Begin anew in a child, which has no loop yet; a lock that a thread of the parent held would never be
    released."""
    AsyncioDriver._shared = None
    AsyncioDriver._shared_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


__all__ = ["AsyncioDriver"]
