"""The watchdog of an emulated chip in virtual time."""

from __future__ import annotations

from collections.abc import Callable

from dcompute_sim.net.clock import Clock

_ROUNDING_S = 1e-9


class Watchdog:
    """Calls `bite` when it was not fed in time; it sleeps until the first feeding."""

    def __init__(self, clock: Clock, bite: Callable[[], None]) -> None:
        self._clock = clock
        self._bite = bite
        self._due_s: float | None = None
        self._armed = False

    def feed(self, timeout_ms: int) -> None:
        """Let it bite after `timeout_ms`, unless fed again. One lazy timer, set anew when it is due."""
        timeout_s = timeout_ms / 1e3
        self._due_s = self._clock.env.now + timeout_s
        if not self._armed:
            self._arm(timeout_s)

    def stop(self) -> None:
        """Stop it: the chip is off."""
        self._due_s = None

    def _arm(self, delay_s: float) -> None:
        self._armed = True
        self._clock.call_later(delay_s, self._look)

    def _look(self) -> None:
        self._armed = False
        if self._due_s is None:
            return
        left_s = self._due_s - self._clock.env.now
        if left_s > _ROUNDING_S:
            self._arm(left_s)
        else:
            self._bite()
