"""A clean end on SIGINT and SIGTERM, after which the program ends as Python programs do."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class SignalSafeLock:
    """A lock under which a signal handler is put off until it is released.

    A handler runs in the main thread between any two of its instructions: one that came while that thread
    held the lock, and then waited for a thread that needs it, would wait for ever.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._owner: int | None = None
        self._depth = 0
        self._put_off: list[Callable[[], None]] = []

    def __enter__(self) -> None:
        self._lock.acquire()
        self._owner = threading.get_ident()
        self._depth += 1

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._depth -= 1
        if self._depth:
            self._lock.release()
            return
        put_off, self._put_off = self._put_off, []
        self._owner = None
        self._lock.release()
        for call in put_off:
            call()

    def put_off(self, call: Callable[[], None]) -> bool:
        """If this thread holds the lock, run `call` when it is released and return True."""
        if self._owner != threading.get_ident():
            return False
        self._put_off.append(call)
        return True


class ShutdownSignals:
    """While installed, a signal first runs `shutdown`, then whatever handled the signal before."""

    def __init__(self, shutdown: Callable[[], None], lock: SignalSafeLock) -> None:
        self._shutdown = shutdown
        self._lock = lock
        self._previous: dict[int, Any] = {}

    def install(self) -> None:
        """Only the main thread can; elsewhere, and for signals the program ignores, nothing happens."""
        if threading.current_thread() is not threading.main_thread() or self._previous:
            return
        for signum in SIGNALS:
            if signal.getsignal(signum) not in (signal.SIG_IGN, None):
                self._previous[signum] = signal.signal(signum, self._handle)

    def remove(self) -> None:
        """Put the earlier handlers back, where nobody has installed another since."""
        if threading.current_thread() is not threading.main_thread():
            return
        for signum, previous in self._previous.items():
            if signal.getsignal(signum) == self._handle:
                signal.signal(signum, previous)
        self._previous.clear()

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if not self._lock.put_off(lambda: self._end(signum, frame)):
            self._end(signum, frame)

    def _end(self, signum: int, frame: FrameType | None) -> None:
        previous = self._previous.get(signum, signal.SIG_DFL)
        self._shutdown()
        if callable(previous):
            previous(signum, frame)
        elif previous == signal.SIG_DFL:
            signal.signal(signum, signal.SIG_DFL)
            signal.raise_signal(signum)
