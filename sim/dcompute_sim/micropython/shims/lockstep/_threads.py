# mypy: ignore-errors
# ESP32 `_thread` in virtual time: threads take turns at waits (and at branches that are counted).
import _board
import _kernel
from _kernel import get_ident
from _stacks import stack_size, start_new_thread

__getattr__ = _board.missing("_thread")


class LockType:
    def __init__(self):
        self._held = False
        self._waiters = []

    # A turn may end at any branch, and another thread come in: so between the look at `_held` and the write
    # of it there is none, and who is told to wait was told to look again if a turn ended meanwhile.
    def acquire(self, waitflag=1, timeout=-1):
        while True:
            held = self._held
            self._held = True
            if not held:
                return True
            if not waitflag:
                return False
            me = get_ident()
            self._waiters.append(me)
            _kernel.park()
            try:
                self._waiters.remove(me)
            except ValueError:  # who released it has: a look beforehand might be out of date by now
                pass

    def release(self):
        if not self._held:
            raise RuntimeError("release unlocked lock")
        self._held = False
        if self._waiters:
            self._wake_first()

    def _wake_first(self):
        try:
            thread = self._waiters.pop(0)
        except IndexError:  # another thread has come in between, and has released it, too
            return
        _kernel.wake(thread)

    def locked(self):
        return self._held

    # A free lock is the common case, many times a turn: no further calls then.
    def __enter__(self):
        held = self._held
        self._held = True
        if held:
            self.acquire()
        return self

    def __exit__(self, *_):
        self._held = False
        if self._waiters:
            self._wake_first()


allocate_lock = LockType


def exit():
    raise SystemExit
