# mypy: ignore-errors
# ESP32 `select` in real time: waits let the other threads run.
import _board
import _kernel
import uselect
from _kernel import enter, leave
from _select import POLLERR, POLLHUP, POLLIN, POLLOUT, select_by

__getattr__ = _board.missing("select")


class poll:
    def __init__(self):
        self._inner = uselect.poll()
        self._given = {}

    def register(self, stream, events=POLLIN | POLLOUT):
        if not hasattr(stream, "ioctl"):
            raise OSError("stream operation not supported")  # the unix port's would take a number, too
        inner = getattr(stream, "_s", stream)
        self._given[id(inner)] = stream
        self._inner.register(inner, events)

    def modify(self, stream, events):
        self._inner.modify(getattr(stream, "_s", stream), events)

    def unregister(self, stream):
        inner = getattr(stream, "_s", stream)
        self._given.pop(id(inner), None)
        self._inner.unregister(inner)

    def poll(self, timeout_ms=-1):
        timeout_ms = -1 if timeout_ms is None else timeout_ms
        give_up_us = _kernel.now_us() + timeout_ms * 1000
        while True:
            slice_ms = timeout_ms
            if _kernel.timers_used:  # their callbacks run in between
                _kernel.call_due()
                left_ms = (give_up_us - _kernel.now_us()) // 1000 if timeout_ms >= 0 else 1000
                slice_ms = max(0, min(left_ms, _kernel.LOOK_US // 1000))
            leave()
            try:
                ready = self._inner.poll(slice_ms)
            finally:
                enter()
            if ready or slice_ms == timeout_ms or (timeout_ms >= 0 and _kernel.now_us() >= give_up_us):
                break
        return [(self._given[id(item[0])], item[1]) for item in ready]

    def ipoll(self, timeout_ms=-1, flags=0):
        for stream, events in self.poll(timeout_ms):
            if flags & 1:  # one-shot
                self.modify(stream, 0)
            yield stream, events


def select(readers, writers, errors, timeout_s=None):
    return select_by(poll(), readers, writers, errors, timeout_s)
