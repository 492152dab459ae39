# mypy: ignore-errors
# `machine.UART` of an ESP32. Who is at the other end says the same text again and again, as `stand_ins` say;
# what does not fit into the receive buffer is lost, as there, and what is written is heard by nobody.
import io

import _board
import _wiring
from _select import POLLIN, POLLOUT

_uarts = {}


class UART(io.IOBase):
    INV_TX = 16
    INV_RX = 4
    INV_RTS = 64
    INV_CTS = 8
    RTS = 1
    CTS = 2

    def __new__(cls, id, *given, **settings):
        if not 0 <= id <= 2:
            raise ValueError("UART(%d) does not exist" % id)
        if id not in _uarts:
            _uarts[id] = object.__new__(cls)
        return _uarts[id]

    def __init__(self, id, *given, **settings):
        if not hasattr(self, "_held"):
            self._id = id
            self._held = bytearray()
            self._most, self._timeout_ms, self._hz = 256, 0, 115200
            self._wired = _wiring.find("machine.UART", id)
            if self._wired is not None:
                _board.kernel.start_new_thread(self._receive, ())
        self.init(*given, **settings)

    def __getattr__(self, name):
        raise AttributeError("the emulator's machine.UART has no %r (docs/esp32-port.md)" % name)

    def init(self, baudrate=0, bits=0, parity=None, stop=0, *, rxbuf=-1, timeout=-1, **settings):
        if bits not in (0, 5, 6, 7, 8):
            raise ValueError("invalid data bits")
        if stop not in (0, 1, 2):
            raise ValueError("invalid stop bits")
        self._hz = baudrate or self._hz
        self._most = self._most if rxbuf < 0 else rxbuf
        self._timeout_ms = self._timeout_ms if timeout < 0 else timeout
        self._held = bytearray()  # what came under other settings is discarded

    def deinit(self):
        self._held = bytearray()

    def any(self):
        return len(self._held)

    def read(self, count=-1):
        if not self._wait():
            return None
        return self._out(len(self._held) if count is None or count < 0 else count)

    def readline(self, *most):
        if not self._wait():
            return None
        end = self._held.find(b"\n") + 1
        return self._out(min([end or len(self._held)] + list(most)))

    def readinto(self, buffer, count=-1):
        if not self._wait():
            return None
        data = self._out(len(buffer) if count < 0 else min(count, len(buffer)))
        buffer[: len(data)] = data
        return len(data)

    def write(self, data, *_):
        _board.simpler("machine.UART.write")
        return len(data)

    def txdone(self):
        return True

    def flush(self):
        pass

    def sendbreak(self):
        pass

    def ioctl(self, request, argument):
        if request == 3:
            return argument & (POLLOUT | (POLLIN if self._held else 0))
        return 0

    def _wait(self):
        # `timeout`: how long it waits for the first byte.
        until_us = _wiring.now_us() + self._timeout_ms * 1000
        while not self._held and _wiring.now_us() < until_us:
            _board.kernel.sleep_us(1000)
        return bool(self._held)

    def _out(self, count):
        data = bytes(self._held[:count])
        self._held = self._held[count:]
        return data

    def _receive(self):
        every_us, text = self._wired["every_us"], self._wired["says"].encode()
        while True:
            _board.kernel.sleep_us(every_us - _wiring.now_us() % every_us)
            self._held.extend(text[: max(0, self._most - len(self._held))])
