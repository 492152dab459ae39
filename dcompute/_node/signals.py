"""A clean end on SIGINT and SIGTERM, after which the program ends as Python programs do."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from threading import get_ident
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class SignalSafeLock:
    """A lock under which a signal handler is put off until it is released.

    A handler runs in the main thread between any two of its instructions: one that came while that thread
    held the lock, and then waited for a thread that needs it, would wait for ever.
    """

    __slots__ = ("_lock", "_main", "_put_off")

    def __init__(self) -> None:
        self._lock: Any = threading.RLock()
        self._main = threading.main_thread().ident
        self._put_off: list[Callable[[], None]] = []

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._lock.release()
        if self._put_off and get_ident() == self._main:
            while self._put_off and not self._lock._is_owned():
                self._put_off.pop(0)()

    def put_off(self, call: Callable[[], None]) -> bool:
        """Run `call` at the lock's release, and return True, if the main thread has it; for signal
        handlers."""
        if not self._lock._is_owned():  # by this thread, which is the main one; Conditions ask it that, too
            return False
        self._put_off.append(call)
        return True


class ShutdownSignals:
    """While installed, a signal first runs `shutdown`, then whatever handled the signal before."""

    def __init__(self, shutdown: Callable[[], object], lock: SignalSafeLock) -> None:
        self._shutdown = shutdown
        self._lock = lock
        self._previous: dict[int, Any] = {}
        self._active = False

    def install(self) -> None:
        """Only the main thread can; elsewhere, and for signals the program ignores, nothing happens."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._active = True
        for signum in SIGNALS:
            if signum not in self._previous and signal.getsignal(signum) not in (signal.SIG_IGN, None):
                self._previous[signum] = signal.signal(signum, self._handle)

    def remove(self) -> None:
        """Put the earlier handlers back.

        Where another one was installed since, it stays, and so does what ours passes its signals on to.
        """
        self._active = False
        if threading.current_thread() is not threading.main_thread():
            return
        for signum in list(self._previous):
            if signal.getsignal(signum) == self._handle:
                signal.signal(signum, self._previous.pop(signum))

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if not self._lock.put_off(lambda: self._end(signum, frame)):
            self._end(signum, frame)

    def _end(self, signum: int, frame: FrameType | None) -> None:
        previous = self._previous.get(signum, signal.SIG_DFL)
        if self._active and not (signum == signal.SIGINT and _interactive()):
            self._shutdown()
        if callable(previous):
            previous(signum, frame)
        elif previous == signal.SIG_DFL:
            signal.signal(signum, signal.SIG_DFL)
            signal.raise_signal(signum)


def _interactive() -> bool:
    """Tell whether Ctrl-C ends a command, not the program: at Python's prompt, in IPython, in a notebook."""
    return hasattr(sys, "ps1") or bool(sys.flags.interactive)
