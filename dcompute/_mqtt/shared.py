"""The driver that transports share which are not given one."""

from __future__ import annotations

from dcompute.drivers import Driver


def shared_driver() -> Driver:
    """Return the process's own asyncio driver. In virtual time nobody asks, and asyncio is not imported."""
    from dcompute.asyncio_driver import AsyncioDriver

    return AsyncioDriver.shared()
