# mypy: ignore-errors
# ESP32 `select` in real time: waits let the other threads run.
import _board
import uselect
from _kernel import enter, leave
from _select import POLLERR, POLLHUP, POLLIN, POLLOUT, select_by

__getattr__ = _board.missing("select")


class poll:
    def __init__(self):
        self._inner = uselect.poll()
        self._given = {}

    def register(self, stream, events=POLLIN | POLLOUT):
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
        leave()
        try:
            ready = self._inner.poll(-1 if timeout_ms is None else timeout_ms)
        finally:
            enter()
        return [(self._given[id(item[0])], item[1]) for item in ready]

    def ipoll(self, timeout_ms=-1, flags=0):
        for stream, events in self.poll(timeout_ms):
            if flags & 1:  # one-shot
                self.modify(stream, 0)
            yield stream, events


def select(readers, writers, errors, timeout_s=None):
    return select_by(poll(), readers, writers, errors, timeout_s)
