# mypy: ignore-errors
# ESP32 `select` in virtual time.
import _board
import _kernel
from _select import POLLERR, POLLHUP, POLLIN, POLLOUT, select_by

__getattr__ = _board.missing("select")


class poll:
    def __init__(self):
        self._watched = {}

    def register(self, stream, events=POLLIN | POLLOUT):
        self._watched[id(stream)] = [stream, events]

    def modify(self, stream, events):
        if id(stream) not in self._watched:
            raise OSError(2)
        self._watched[id(stream)][1] = events

    def unregister(self, stream):
        self._watched.pop(id(stream), None)

    def poll(self, timeout_ms=-1):
        if timeout_ms is None or timeout_ms < 0:
            timeout_ms = -1
        give_up_us = None
        while True:
            # in the order of socket numbers: ids differ from run to run
            ready = []
            for stream, events in sorted(self._watched.values(), key=_number):
                now = stream.readiness(events)
                if now:
                    ready.append((stream, now))
            if ready or timeout_ms == 0:
                return ready
            left_us = -1
            if timeout_ms > 0:
                if give_up_us is None:
                    give_up_us = _kernel.now_us() + timeout_ms * 1000
                left_us = give_up_us - _kernel.now_us()
                if left_us <= 0:
                    return ready
            _kernel.wait_arrival(left_us)

    def ipoll(self, timeout_ms=-1, flags=0):
        for stream, events in self.poll(timeout_ms):
            if flags & 1:  # one-shot
                self.modify(stream, 0)
            yield stream, events


def _number(entry):
    return entry[0].number


def select(readers, writers, errors, timeout_s=None):
    return select_by(poll(), readers, writers, errors, timeout_s)
