# mypy: ignore-errors
# ESP32 `_thread` in virtual time: threads take turns at waits only, so a free lock costs nothing.
import _board
import _kernel
from _kernel import get_ident
from _stacks import stack_size, start_new_thread

__getattr__ = _board.missing("_thread")


class LockType:
    def __init__(self):
        self._held = False
        self._waiters = []

    def acquire(self, waitflag=1, timeout=-1):
        while self._held:
            if not waitflag:
                return False
            self._waiters.append(get_ident())
            _kernel.park()
        self._held = True
        return True

    def release(self):
        if not self._held:
            raise RuntimeError("release unlocked lock")
        self._held = False
        if self._waiters:
            _kernel.wake(self._waiters.pop(0))

    def locked(self):
        return self._held

    # A free lock is the common case, many times a turn: no further calls then.
    def __enter__(self):
        if self._held:
            self.acquire()
        self._held = True
        return self

    def __exit__(self, *_):
        if self._waiters:
            self.release()
        self._held = False


allocate_lock = LockType


def exit():
    raise SystemExit
