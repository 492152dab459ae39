# mypy: ignore-errors
# `neopixel`: colours are kept as on the port, and seen where `stand_ins` show the pin.
import _board
import _wiring

_ORDER = (1, 0, 2, 3)  # green first, as the lights want it


class NeoPixel:
    ORDER = _ORDER

    def __init__(self, pin, n, bpp=3, timing=1):
        self.pin = pin
        self.n = n
        self.bpp = bpp
        if isinstance(timing, int):
            timing = (400, 850, 800, 450) if timing else (800, 1700, 1600, 900)  # ns, of the lights' bits
        self.timing = timing
        self.buf = bytearray(n * bpp)
        pin.init(pin.OUT)

    def __len__(self):
        return self.n

    def __setitem__(self, index, colour):
        for part in range(self.bpp):
            self.buf[index * self.bpp + self.ORDER[part]] = colour[part]

    def __getitem__(self, index):
        return tuple(self.buf[index * self.bpp + self.ORDER[part]] for part in range(self.bpp))

    def fill(self, colour):
        for index in range(self.n):
            self[index] = colour

    def write(self):
        if not _wiring.shown(self.pin._number, "lights", len(self), colours=self.buf.hex()):
            _board.simpler("neopixel.write")
