# mypy: ignore-errors
# `ntptime`: sets the RTC from the testbed's clock, when the WLAN is up.
import _board
import network

host = "pool.ntp.org"
timeout = 1

__getattr__ = _board.missing("ntptime")


def time():
    if not network.reachable() or network.radio.silent:
        raise OSError(116)
    return _board.kernel.true_time_us() // 1000000


def settime():
    _board.clock_start_us = time() * 1000000 - _board.kernel.now_us()
