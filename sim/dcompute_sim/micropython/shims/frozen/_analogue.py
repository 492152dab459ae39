# mypy: ignore-errors
# `machine.ADC`, `DAC` and `TouchPad` of an ESP32. An ADC is linear here and without noise: the volts at its
# pin (`stand_ins`, `volts`), by its attenuation and width. Its second block belongs to the WLAN while that is
# active (ESP-IDF, adc_oneshot_read: ESP_ERR_TIMEOUT), which is how many a sensor on pin 4 or 25 is lost.
import errno

import _board
import _wiring
from _pin import Pin

_FIRST_BLOCK = (36, 37, 38, 39, 32, 33, 34, 35)
_SECOND_BLOCK = (4, 0, 2, 15, 13, 12, 14, 27, 25, 26)
_FULL_VOLTS = (1.1, 1.467, 2.195, 3.903)  # of 1.1 V behind 0, 2.5, 6 and 11 dB
_TOUCH = (4, 0, 2, 15, 13, 12, 14, 27, 33, 32)
_READ_US = 40
_adcs = {}
_width = [12, 12]  # of both blocks


class ADC:
    ATTN_0DB = 0
    ATTN_2_5DB = 1
    ATTN_6DB = 2
    ATTN_11DB = 3
    WIDTH_9BIT = 9
    WIDTH_10BIT = 10
    WIDTH_11BIT = 11
    WIDTH_12BIT = 12

    def __new__(cls, pin, **settings):
        number = Pin(pin)._number
        if number not in _FIRST_BLOCK and number not in _SECOND_BLOCK:
            raise ValueError("invalid pin")
        if number not in _adcs:
            _adcs[number] = object.__new__(cls)
        return _adcs[number]

    def __init__(self, pin, *, atten=3):
        self._number = Pin(pin)._number
        self._block = 0 if self._number in _FIRST_BLOCK else 1
        self.init(atten=atten)

    def __repr__(self):
        return "ADC(Pin(%d), atten=%d)" % (self._number, self._atten)

    def init(self, *, atten=3):
        self.atten(atten)
        _width[self._block] = 12

    def deinit(self):
        pass

    def atten(self, atten):
        if not 0 <= atten <= 3:
            raise ValueError("invalid attenuation")
        self._atten = atten

    def width(self, width):
        if not 9 <= width <= 12:
            raise ValueError("invalid bit-width")
        _width[self._block] = width

    def read(self):
        if self._block and _wlan_is_active():
            raise OSError(errno.ETIMEDOUT, "ESP_ERR_TIMEOUT")
        _wiring.take(_READ_US)
        volts = _wiring.value("machine.ADC", self._number) or 0
        most = (1 << _width[self._block]) - 1
        return min(most, max(0, round(volts / _FULL_VOLTS[self._atten] * most)))

    def read_u16(self):
        raw, bits = self.read(), _width[self._block]
        return raw << (16 - bits) | raw >> (2 * bits - 16)

    def read_uv(self):
        most = (1 << _width[self._block]) - 1
        return round(self.read() / most * _FULL_VOLTS[self._atten] * 1000) * 1000


def _wlan_is_active():
    import network

    return any(network.WLAN(side).active() for side in (network.STA_IF, network.AP_IF))


class DAC:
    def __init__(self, pin):
        if Pin(pin)._number not in (25, 26):
            raise ValueError("invalid Pin for DAC")
        self._number = Pin(pin)._number

    def __repr__(self):
        return "DAC(Pin(%d))" % self._number

    def write(self, value):
        if not 0 <= value | 0 <= 255:
            raise ValueError("value out of range")
        if not _wiring.shown(self._number, "dac", value | 0):
            _board.simpler("machine.DAC")


class TouchPad:
    def __init__(self, pin):
        if Pin(pin)._number not in _TOUCH:
            raise ValueError("invalid pin for touchpad")
        self._number = Pin(pin)._number

    def config(self, threshold):
        pass

    def read(self):
        value = _wiring.value("machine.TouchPad", self._number)
        return 1000 if value is None else value  # as untouched pads show, about
