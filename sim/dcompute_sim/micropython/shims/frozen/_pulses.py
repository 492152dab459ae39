# mypy: ignore-errors
# `machine.PWM`, `time_pulse_us`, `bitstream` of an ESP32. What is put out is seen where `stand_ins` show the
# pin; a pulse that is measured is as long as they say (`pulses`), else the pin does not move.
import _board
import _wiring
from _pin import Pin

_CHANNELS = 16
_MOST_HZ = 40000000
_active = {}  # pin number -> PWM


class PWM:
    def __new__(cls, pin, **settings):
        number = Pin(pin)._number
        return _active.get(number) or object.__new__(cls)

    def __init__(self, pin, **settings):
        self._number = Pin(pin)._number
        if not hasattr(self, "_hz"):
            self._hz, self._duty = 5000, 32768
        if self._number not in _active and len(_active) == _CHANNELS:
            raise RuntimeError("out of PWM channels:%d" % _CHANNELS)
        _active[self._number] = self
        self._told = None
        self.init(**settings)

    def __repr__(self):
        return "PWM(Pin(%d), freq=%d, duty_u16=%d)" % (self._number, self._hz, self._duty)

    def init(self, *, freq=None, duty=None, duty_u16=None, duty_ns=None, invert=0, lightsleep=False):
        _active[self._number] = self
        self._in_between = True
        try:
            if freq is not None:
                self.freq(freq)
            if duty_u16 is not None:
                self.duty_u16(duty_u16)
            elif duty_ns is not None:
                self.duty_ns(duty_ns)
            elif duty is not None:
                self.duty(duty)
        finally:
            self._in_between = False
        self._shows()

    def deinit(self):
        if _active.pop(self._number, None):
            self._shows(0)

    def freq(self, hz=None):
        self._must_be_active()
        if hz is None:
            return self._hz
        if not 0 < hz <= _MOST_HZ:
            raise ValueError("frequency must be from 1Hz to %dMHz" % (_MOST_HZ // 1000000))
        self._hz = hz
        self._shows()

    def duty(self, duty=None):
        self._must_be_active()
        if duty is None:
            return self._duty >> 6
        if not 0 <= duty <= 1023:
            raise ValueError("duty must be from 0 to 1023")
        self._duty = duty << 6
        self._shows()

    def duty_u16(self, duty=None):
        self._must_be_active()
        if duty is None:
            return self._duty
        if not 0 <= duty <= 65536:
            raise ValueError("duty_u16 must be from 0 to 65536")
        self._duty = duty
        self._shows()

    def duty_ns(self, ns=None):
        self._must_be_active()
        period_ns = 1000000000 // self._hz
        if ns is None:
            return self._duty * period_ns // 65536
        if not 0 <= ns <= period_ns:
            raise ValueError("duty_ns must be from 0 to %d ns" % period_ns)
        self._duty = ns * 65536 // period_ns
        self._shows()

    def _shows(self, duty=None):
        now = self._duty if duty is None else duty, self._hz
        if now != self._told and not self._in_between:
            self._told = now
            if not _wiring.shown(self._number, "pwm", now[0], hz=now[1]):
                _board.simpler("machine.PWM")

    def _must_be_active(self):
        if self._number not in _active:
            raise RuntimeError("PWM is inactive")


def time_pulse_us(pin, pulse_level, timeout_us=1000000):
    # -2: it never came to the level; -1: it never left it (extmod/machine_pulse.c).
    width_us = _wiring.value("machine.time_pulse_us", pin._number)
    if width_us is None:
        _wiring.take(timeout_us)
        return -1 if pin.value() == (1 if pulse_level else 0) else -2
    _wiring.take(min(width_us, timeout_us))
    return width_us if width_us < timeout_us else -1


def bitstream(pin, encoding, timing, data):
    if encoding:
        raise ValueError("unsupported bitstream encoding")
    _wiring.take(sum(timing) * 4 * len(data) // 1000)  # eight bits, each of half of the four's time
    _board.simpler("machine.bitstream")
