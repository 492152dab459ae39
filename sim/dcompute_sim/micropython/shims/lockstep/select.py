# mypy: ignore-errors
# ESP32 `select` in virtual time.
#
# Sockets tell their own readiness; any other object is asked by `ioctl`, as the port does (that is how
# asyncio.ThreadSafeFlag works, and all that is built on it). The port asks such objects every millisecond;
# here they are asked whenever another thread has run, for nothing else can have changed them.
import _board
import _kernel
from _select import POLLERR, POLLHUP, POLLIN, POLLOUT, select_by

__getattr__ = _board.missing("select")


_MP_STREAM_POLL = 3
_AFTER_SOCKETS = 1 << 29


class poll:
    def __init__(self):
        self._watched = {}  # id -> [object, events, place in the order]
        self._objects = 0  # so many were registered that are no sockets

    def register(self, stream, events=POLLIN | POLLOUT):
        known = self._watched.get(id(stream))
        if known is not None:
            known[1] = events
            return
        if hasattr(stream, "ioctl"):
            self._objects += 1
            place = _AFTER_SOCKETS + self._objects
        elif hasattr(stream, "readiness"):  # a socket, or TLS on one
            place = stream.number
        else:
            raise OSError("stream operation not supported")
        self._watched[id(stream)] = [stream, events, place]

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
        again = False
        while True:
            # In the order of socket numbers, then of registration: ids differ from run to run.
            ready = []
            objects = False
            for stream, events, place in sorted(self._watched.values(), key=_place):
                if place < _AFTER_SOCKETS:
                    now = stream.readiness(events)
                else:
                    objects = True
                    now = stream.ioctl(_MP_STREAM_POLL, events)
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
            if objects:
                _kernel.wait_change(left_us, again)
                again = True
            else:
                _kernel.wait_arrival(left_us)

    def ipoll(self, timeout_ms=-1, flags=0):
        for stream, events in self.poll(timeout_ms):
            if flags & 1:  # one-shot
                self.modify(stream, 0)
            yield stream, events


def _place(entry):
    return entry[2]


def select(readers, writers, errors, timeout_s=None):
    return select_by(poll(), readers, writers, errors, timeout_s)
