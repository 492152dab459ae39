# Why a network was not joined, in words. Loaded when one was not, and then forgotten, to spare the heap.

import sys

import network

from micropython import const

_FIRST_REASON = const(200)
_REASONS = "beacon timeout,network not found,wrong password,association failed,handshake timeout"


def reason(status):
    # What a status of the interface means; the status itself where nobody knows.
    del sys.modules["wifi_reasons"]
    if status == network.STAT_CONNECTING:  # also what access points' reasons 2 and 15 look like
        return "no answer; perhaps a wrong password, or no DHCP server"
    number = status - _FIRST_REASON
    reasons = _REASONS.split(",")
    return reasons[number] if 0 <= number < len(reasons) else status
