# mypy: ignore-errors
# ESP32 `_thread` in real time: see _kernel for the lock that stands for its GIL.
import _thread as _unix

import _board
from _kernel import get_ident, wait
from _stacks import stack_size, start_new_thread

__getattr__ = _board.missing("_thread")

exit = _unix.exit


class LockType:
    def __init__(self):
        self._lock = _unix.allocate_lock()

    def acquire(self, waitflag=1, timeout=-1):
        if self._lock.acquire(0):
            return True
        if not waitflag:
            return False
        wait(self._lock.acquire)
        return True

    def release(self):
        self._lock.release()

    def locked(self):
        return self._lock.locked()

    def __enter__(self):
        self.acquire()
        return self

    def __exit__(self, *_):
        self._lock.release()


allocate_lock = LockType
