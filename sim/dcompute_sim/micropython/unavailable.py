"""The one exception by which the emulator says that something it needs cannot be had on this machine."""

from __future__ import annotations


class EmulatorUnavailable(RuntimeError):
    """MicroPython or umqtt.simple is missing; the message says what was tried and what to do."""
