"""What every emulator test starts from. Nothing skips: a machine without MicroPython must fail loudly."""

from __future__ import annotations

import pytest

from sim.micropython.provision import Emulator, provision


@pytest.fixture(scope="session")
def emulator() -> Emulator:
    """MicroPython and umqtt.simple; raises EmulatorUnavailable, with guidance, where they cannot be had."""
    return provision()
