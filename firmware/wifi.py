# The station interface of the board: joins the network, and does not give up on it.

import time

import network

from micropython import const

_JOIN_MS = const(15000)
_TRIES_PER_RESET = const(3)


class Wifi:
    # `idle(ms)` is how to wait, `say(text)` how to log.

    def __init__(self, settings, idle, say):
        self._ssid = settings.wifi_ssid
        self._password = settings.wifi_password
        self._static = settings.static
        self._full_power = settings.wifi_full_power
        self._idle = idle
        self._say = say
        self._tries = 0
        self._wlan = network.WLAN(network.STA_IF)

    def is_joined(self):
        # What the interface believes; it is late to notice, so only the broker's answers prove a link. It may
        # be on another network: the chip remembers the last one.
        return self._wlan.isconnected() and self._wlan.config("ssid") == self._ssid

    def join(self):
        # One bounded try; True when there is an address. No outcome is final: the caller tries again.
        if self.is_joined():
            self._tries = 0
            return True
        self._tries += 1
        try:
            self._begin()
        except OSError as error:  # "Wifi Internal State Error" and its kin: the interface has to start afresh
            self._say("Wi-Fi: %s; resetting the interface" % error)
            self.reset()
            return False
        deadline = time.ticks_add(time.ticks_ms(), _JOIN_MS)
        said = network.STAT_CONNECTING
        while not self.is_joined():
            status = self._wlan.status()
            over = time.ticks_diff(deadline, time.ticks_ms()) <= 0
            if status != said or over and status == network.STAT_CONNECTING:  # it goes on trying by itself
                said = status
                self._say("Wi-Fi: not joined %r: %s" % (self._ssid, self._reason(status)))
            if over:
                return False
            self._idle(100)
        self._tries = 0
        self._say("Wi-Fi: joined %r as %s" % (self._ssid, self._wlan.ifconfig()[0]))
        return True

    def reset(self):
        # Switch the interface off; the next join switches it on.
        try:
            self._wlan.active(False)
        except OSError as error:
            self._say("Wi-Fi: %s" % error)
        self._idle(500)

    def _begin(self):
        wlan = self._wlan
        if self._tries % _TRIES_PER_RESET == 0:
            self.reset()
        if not wlan.active():
            wlan.active(True)
        elif wlan.status() == network.STAT_CONNECTING and wlan.config("ssid") == self._ssid:
            return  # under way: to start again would never let a slow DHCP server finish
        else:
            wlan.disconnect()
        if self._static:
            wlan.ifconfig(self._static)
        if self._full_power:
            wlan.config(pm=network.WLAN.PM_NONE)  # power saving delays every packet by up to 300 ms
        wlan.connect(self._ssid, self._password)

    def _reason(self, status):
        try:
            import wifi_reasons

            return wifi_reasons.reason(status)
        except Exception:  # no room in the heap for words
            return status
