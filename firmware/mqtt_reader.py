# Whole MQTT packets out of a non-blocking stream, however few bytes come at a time.

import errno
import gc
import time

from micropython import const

_DISCARD_BYTES = const(64)  # how much of an oversized packet is read at a time
_KEPT_BYTES = const(256)  # packets up to this go into one buffer: a heap in pieces has no room for them
_HEAD_BYTES = const(256)  # what is kept of a packet that the heap has no room for: topic and packet id


class PacketReader:
    # `kind` (the first byte; 0 between packets), `size` and `body` describe the packet being read.
    #
    # `kept` is where small packets are read into; between packets it is for others to use.
    #
    # `body` is shorter than `size` if the packet is longer than `most_bytes`: the rest is thrown away. The
    # next packet may take its place.

    def __init__(self, most_bytes):
        self.most_bytes = most_bytes
        self._byte = bytearray(1)
        self.kept = memoryview(bytearray(_KEPT_BYTES))
        self.reset()

    def reset(self):
        # Begin a new stream.
        self.kind = 0
        self.body = None
        self.heard_ms = time.ticks_ms()  # when bytes last came

    def read(self, stream):
        # True when a whole packet is there; False when its rest, or the next one, has yet to come.
        #
        # OSError at the end of the stream, or when it is not MQTT.
        if self.body is None and not self._read_head(stream):
            return False
        body = self.body
        while self._have < self.size:
            left = self.size - self._have
            if self._have < len(body):
                part = memoryview(body)[self._have :]
            else:
                part = bytearray(min(_DISCARD_BYTES, left))
            count = self._count(stream.readinto(part))
            if not count:
                return False
            self._have += count
        return True

    def done(self):
        # The packet has been dealt with: its memory may go.
        self.kind = 0
        self.body = None

    def _read_head(self, stream):
        while self._count(stream.readinto(self._byte)):
            byte = self._byte[0]
            if not self.kind:
                if byte < 0x10:
                    raise OSError(errno.EIO)
                self.kind = byte
                self.begun_ms = self.heard_ms
                self.size = self._shift = self._have = 0
                continue
            self.size |= (byte & 0x7F) << self._shift
            self._shift += 7
            if not byte & 0x80:
                self.body = self._room(min(self.size, self.most_bytes))
                return True
            if self._shift > 21:  # four bytes at most [MQTT-2.2.3]
                raise OSError(errno.EIO)
        return False

    def _room(self, size):
        if size <= _KEPT_BYTES:
            return self.kept[:size]
        try:
            return bytearray(size)
        except MemoryError:
            gc.collect()
            return bytearray(min(size, _HEAD_BYTES))

    def _count(self, count):
        if count:
            self.heard_ms = time.ticks_ms()
        elif count == 0:
            raise OSError(errno.ECONNRESET)
        return count
