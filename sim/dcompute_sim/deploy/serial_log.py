"""What a board prints, line by line, while something else is waited for or nothing is."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import serial

from dcompute.parts import printable
from dcompute_sim.hardware.serial_link import LineLost, SerialLink

_KEPT_LINES = 200
_SHOWN_LINES = 2
_NOISE = (
    "ets ",
    "rst:",
    "MicroPython v",
    'Type "help()"',
    ">>>",
    "MPY: soft reboot",
    "load:",
    "entry ",
    "configsip",
)


class SerialLog:
    """Follows one board's output. A port that vanishes with a reset (native USB) only ends the log."""

    def __init__(self, link: SerialLink, told: Callable[[str], None] | None = None) -> None:
        """Begin with an empty line. `told` is given each whole one."""
        self._link = link
        self._told = told
        self._half = b""
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self.over = False

    def follow(self, timeout_s: float) -> None:
        """Take in what comes; waits at most so long for something."""
        if self.over:
            time.sleep(timeout_s)
            return
        try:
            self._half += self._link.listen(timeout_s)
        except (OSError, serial.SerialException, LineLost):
            self.over = True
            return
        *whole, self._half = self._half.split(b"\n")
        for raw in whole:
            line = raw.decode(errors="replace").strip("\r\x04")
            self._lines.append(line)
            if self._told is not None:
                self._told(line)

    def last_words(self) -> str:
        """Return the last lines that say something, for a message."""
        said: list[str] = []
        for line in self._lines:
            text = line.split("] ", 1)[-1] if line.startswith("[") else line  # without the time
            if text.strip() and not text.startswith(_NOISE) and text.strip() not in said[-1:]:
                said.append(text.strip())
        return printable(" / ".join(said[-_SHOWN_LINES:])[:300])
