"""The MicroPython that all emulated boards of this process run on, found or fetched with the first."""

from __future__ import annotations

from functools import cache

from dcompute_sim.micropython.provision import Emulator, provision


@cache
def emulator() -> Emulator:
    """Find it, once. EmulatorUnavailable where there is none."""
    return provision()
