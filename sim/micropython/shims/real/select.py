# mypy: ignore-errors
# ESP32 `select` in real time: waits let the other threads run.
import _board
import uselect
from _kernel import enter, leave

__getattr__ = _board.missing("select")

POLLIN = 1
POLLOUT = 4
POLLERR = 8
POLLHUP = 16


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
    poller = poll()
    for stream in readers:
        poller.register(stream, POLLIN)
    for stream in writers:
        poller.register(stream, POLLOUT | (POLLIN if stream in readers else 0))
    ready = poller.poll(-1 if timeout_s is None else int(timeout_s * 1000))
    got = {id(stream): events for stream, events in ready}
    return (
        [s for s in readers if got.get(id(s), 0) & (POLLIN | POLLERR | POLLHUP)],
        [s for s in writers if got.get(id(s), 0) & (POLLOUT | POLLERR | POLLHUP)],
        [s for s in errors if got.get(id(s), 0) & POLLERR],
    )
