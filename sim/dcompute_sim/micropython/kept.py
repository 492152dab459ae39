"""What a chip keeps while its program does not: the clock and RTC memory over resets, NVS over all.

The board tells what it sets (`keep` events); what is kept goes along when it is switched on again. A state
machine, fed with events and times.
"""

from __future__ import annotations

from typing import Any

from dcompute_sim.micropython.board import PWRON_RESET

_OVER_POWER = ("nvs",)


class Kept:
    """What one board keeps.

    Args:
        clock_start_us: the RTC when power comes on, microseconds since 2000: what the battery kept, if there
            is one.
    """

    def __init__(self, clock_start_us: int) -> None:
        self._clock_start_us = clock_start_us
        self._values: dict[str, object] = {}
        self._clock_us = clock_start_us  # what it showed at `_switched_on_s`
        self._switched_on_s = 0.0
        self._first_s: float | None = None

    def take(self, name: str, value: Any) -> None:
        """Keep what the board sets; `clock` is what the RTC would have shown when the board was started."""
        if name == "clock":
            self._clock_us = int(value)
        else:
            self._values[name] = value

    def start(self, reset_cause: int, now_s: float) -> dict[str, object]:
        """Return what goes along at a start at `now_s`: fields of the line that the process reads first."""
        if reset_cause == PWRON_RESET:
            self._clock_us = self._clock_start_us
            self._values = {name: self._values[name] for name in _OVER_POWER if name in self._values}
        else:
            self._clock_us += round((now_s - self._switched_on_s) * 1e6)
        self._switched_on_s = now_s
        if self._first_s is None:
            self._first_s = now_s
        on_for_us = round((now_s - self._first_s) * 1e6)
        return {"clock_start_us": self._clock_us, "kept": self._values, "on_for_us": on_for_us}
