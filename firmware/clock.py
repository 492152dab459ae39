# The clock, by which a chip judges the dates of a certificate; without a battery it begins in 2000.

import errno
import time

import ntptime
from micropython import const

_SET_YEAR = const(2025)  # one that shows an earlier year was never set


def set_once():
    # By NTP, unless it was set. OSError when nobody answers.
    if time.gmtime()[0] >= _SET_YEAR:
        return
    try:
        ntptime.settime()
    except OSError as error:
        code = error.args[0] if error.args else errno.ETIMEDOUT
        raise OSError(code, "no time from %s, and a certificate is judged by it" % ntptime.host)
