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
    _board.set_clock(time() * 1000000)
