# mypy: ignore-errors
# ESP32 `time`: epoch 2000, ticks that wrap at 2**30, sleeps that sleep.
import _board
from utime import gmtime as _unix_gmtime
from utime import mktime as _unix_mktime

_now_us = _board.kernel.now_us
_sleep_us = _board.kernel.sleep_us
_MASK = (1 << 30) - 1
_HALF = 1 << 29
_EPOCH_2000 = 946684800
_ticks_start_us = _board.ticks_start_ms * 1000

__getattr__ = _board.missing("time")


def sleep(seconds):
    _sleep_us(int(seconds * 1000000))


def sleep_ms(ms):
    _sleep_us((ms | 0) * 1000)  # a float is a TypeError, as there


def sleep_us(us):
    _sleep_us(us | 0)


def ticks_ms():
    return ((_now_us() + _ticks_start_us) // 1000) & _MASK


def ticks_us():
    return (_now_us() + _ticks_start_us) & _MASK


ticks_cpu = ticks_us


def ticks_add(ticks, delta):
    if not -_HALF < delta < _HALF:
        raise OverflowError("ticks interval overflow")
    return (ticks + delta) & _MASK


def ticks_diff(end, start):
    return ((end - start + _HALF) & _MASK) - _HALF


def time():
    return (_board.clock_start_us + _now_us()) // 1000000


def time_ns():
    return (_board.clock_start_us + _now_us()) * 1000


def gmtime(seconds=None):
    return _unix_gmtime((time() if seconds is None else int(seconds)) + _EPOCH_2000)[:8]


localtime = gmtime  # an ESP32 knows no time zone


def mktime(parts):
    if not 8 <= len(parts) <= 9:
        raise TypeError("mktime needs a tuple of length 8 or 9")
    return int(_unix_mktime(tuple(parts[:8]) + (0,))) - _EPOCH_2000
