"""How fast a run in virtual time goes on: so many of its seconds in one on the wall, or as fast as it can.

The pacer hears each event before anybody else does, and holds the run up until it is due. What the run
computes is the same at any pace: it is only waited for.
"""

from __future__ import annotations

import math
import threading
import time

from dcompute_sim.trace import Event

_LOOK_S = 0.2  # a wait is never longer, so that Ctrl-C is heard


class Pacer:
    """Holds a run up.

    Args:
        pace: seconds of the run in one on the wall; 0 stops it, infinity lets it go.
    """

    def __init__(self, pace: float) -> None:
        self.pace = pace
        self._changed = threading.Condition()
        self._from_us = 0.0
        self._since_s = time.monotonic()

    def set(self, pace: float) -> None:
        """Go on at another pace from here. ValueError for one that is none."""
        if not pace >= 0:
            raise ValueError("a pace is 0 (stopped) or more, as in 10")
        with self._changed:
            self._from_us = self._now_us()
            self._since_s = time.monotonic()
            self.pace = pace
            self._changed.notify_all()

    def on_event(self, event: Event) -> None:
        """Return when this event is due; a listener of the trace."""
        with self._changed:
            while True:
                if math.isinf(self.pace):
                    self._from_us, self._since_s = event.t_us, time.monotonic()
                    return
                left_us = event.t_us - self._now_us()
                if left_us <= 0:
                    return
                wait_s = left_us / 1e6 / self.pace if self.pace else _LOOK_S
                self._changed.wait(min(wait_s, _LOOK_S))

    def now_us(self) -> int:
        """Tell how far the run may have come."""
        with self._changed:
            return int(self._now_us())

    def _now_us(self) -> float:
        if math.isinf(self.pace):
            return self._from_us
        return self._from_us + (time.monotonic() - self._since_s) * 1e6 * self.pace
