# mypy: ignore-errors
# `machine.Signal`: a pin by its meaning, which may be the reverse of its level.
from _pin import Pin


class Signal:
    def __init__(self, pin, *given, invert=False, value=None, **settings):
        if not isinstance(pin, Pin):
            if value is not None:
                settings["value"] = (not value) if invert else value
            pin = Pin(pin, *given, **settings)
        self._pin = pin
        self._invert = 1 if invert else 0

    def value(self, level=None):
        if level is None:
            return self._pin.value() ^ self._invert
        self._pin.value((1 if level else 0) ^ self._invert)

    __call__ = value

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)
