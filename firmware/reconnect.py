# When to try to connect, for ever: backoff with jitter, and doubts about a Wi-Fi that claims to be up.

import errno
import random
import time

from micropython import const

from wifi import Wifi

_FIRST_RETRY_MS = const(500)
_LAST_RETRY_MS = const(20000)
_NOT_GRANTED = const(128)  # SUBACK's
_HEARD_MS = const(30000)  # a status that has not come back by then is taken for denied
_LASTING_MS = const(5000)  # a shorter session was no success: perhaps another node has the same id
_SILENCES_PER_RESET = const(3)  # tries that nobody answered until the interface is not believed any more


class Reconnect:
    # `open_session()` is the one way to connect; it raises what went wrong.

    def __init__(self, settings, open_session, idle, say):
        self._open_session = open_session
        self._say = say
        self._wifi = Wifi(settings, idle, say)
        self._had_wifi = False
        self._retry_ms = _FIRST_RETRY_MS
        self._next_try_ms = self._open_ms = time.ticks_ms()
        self._silences = 0
        self._told = False

    def attempt(self):
        # Join the Wi-Fi and open the session: one bounded try. True when open.
        error = None
        try:
            self._had_wifi = self._wifi.join()
            if self._had_wifi:
                self._open_session()
                self._silences = 0
                self._open_ms = time.ticks_ms()
                self._told = False
                return True
        except Exception as caught:
            error = caught
        self._back_off()
        if error:
            self._say("cannot connect: %r" % error)
            self._doubt(error.args[0] if error.args else None)
        return False

    def unheard(self):
        # What this node says of itself has not come back over this session.
        if not self._told and time.ticks_diff(time.ticks_ms(), self._open_ms) > _HEARD_MS:
            self._told = True
            self._denied(False)

    def lost(self):
        # The session has ended: the next try is soon, unless it was so short that it was none.
        if time.ticks_diff(time.ticks_ms(), self._open_ms) >= _LASTING_MS:
            self._retry_ms = _FIRST_RETRY_MS
        self._back_off()

    def is_due(self):
        # Whether to try now. A Wi-Fi that has come back by itself is worth a try at once.
        return not self.pause_ms() or not self._had_wifi and self._wifi.is_joined()

    def pause_ms(self):
        # Until the next try.
        return max(0, time.ticks_diff(self._next_try_ms, time.ticks_ms()))

    def _back_off(self):
        delay_ms = self._retry_ms // 2 + random.getrandbits(16) % self._retry_ms
        self._next_try_ms = time.ticks_add(time.ticks_ms(), delay_ms)
        self._retry_ms = min(_LAST_RETRY_MS, 2 * self._retry_ms)

    def _doubt(self, code):
        if code == _NOT_GRANTED:
            self._denied(True)
        if isinstance(code, str):  # what is wrong with the broker's certificate
            return
        # A refusal (1 to 5 are CONNACK's return codes, 128 is SUBACK's) is an answer: the Wi-Fi works.
        if code in (1, 2, 3, 4, 5, _NOT_GRANTED, errno.ECONNREFUSED, errno.ECONNRESET):
            self._silences = 0
            return
        self._silences += 1
        if self._silences >= _SILENCES_PER_RESET:
            self._silences = 0
            self._say("Wi-Fi: nobody answers; resetting the interface")
            self._wifi.reset()

    def _denied(self, refused):
        try:
            import denied

            denied.tell(self._say, refused)
        except MemoryError:
            pass
