# mypy: ignore-errors
# `ntptime`: sets the RTC from the testbed's clock, when the WLAN is up.
import _board
import network

host = "pool.ntp.org"
timeout = 1

__getattr__ = _board.missing("ntptime")


def time():
    if not network.reachable():
        raise OSError(-202)  # its name is not found
    if network.radio.silent:
        _board.kernel.sleep_us(network.radio.dns_patience_ms * 1000)
        raise OSError(-202)
    return _board.kernel.true_time_us() // 1000000


def settime():
    _board.set_clock(time() * 1000000)
