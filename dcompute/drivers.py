"""Who turns a client's loop: what the transports need of the world.

A driver opens byte channels, tells the time, calls back later and hands calls from other threads to its loop.
Production has asyncio's (`dcompute.asyncio_driver`); the testbed has a second one that does the same in
virtual time. Everything a channel or timer calls back happens on the driver's loop, so the code above needs
no locks of its own there.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Address:
    """Where the broker is; `tls` is a ready context, None for a plain connection.

    An IPv6 address may stand in brackets. Raises ValueError for an invalid host or port.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.host, str) or not self.host:
            raise ValueError(f"a broker's host is a name or an address, not {self.host!r}")
        if not isinstance(self.port, int) or not 1 <= self.port <= 65535:
            raise ValueError(f"a broker's port is from 1 to 65535, not {self.port!r}")
        if self.host.startswith("[") and self.host.endswith("]"):
            object.__setattr__(self, "host", self.host[1:-1])

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Timer(Protocol):
    """A pending call."""

    def cancel(self) -> None:
        """Forget the call; no effect if it already happened."""


class Channel(Protocol):
    """An open byte stream to the broker."""

    def write(self, data: bytes) -> None:
        """Send `data`; buffers without bound, so callers limit what they have under way."""

    def close(self) -> None:
        """Flush, then close (FIN)."""

    def abort(self) -> None:
        """Close at once, dropping what is unsent."""


class ChannelUser(Protocol):
    """What a channel tells its user, on the driver's loop. After `channel_lost` nothing more comes."""

    def channel_open(self, channel: Channel) -> None: ...
    def channel_data(self, data: bytes) -> None: ...
    def channel_lost(self, error: Exception | None) -> None: ...


class Randomness(Protocol):
    """What the transports draw from; `random.Random` is one."""

    def uniform(self, a: float, b: float, /) -> float: ...
    def getrandbits(self, k: int, /) -> int: ...


class Driver(Protocol):
    """What the transports need of the world."""

    @property
    def random(self) -> Randomness: ...

    def now_s(self) -> float:
        """Monotonic seconds."""

    def wall_s(self) -> float:
        """Return seconds since 1970."""

    def call_on_loop(self, call: Callable[[], None]) -> None:
        """Run `call` on the loop, at once when already there; may be called from any thread."""

    def call_later(self, delay_s: float, call: Callable[[], None]) -> Timer:
        """Run `call` on the loop after `delay_s`; only from the loop."""

    def dial(self, address: Address, user: ChannelUser) -> Timer:
        """Open a channel; ends in `channel_open` or `channel_lost`. Cancelling the result gives up."""

    def deliver(self, call: Callable[[], None]) -> None:
        """Run a user's callback where it may block without harm to the loop, in order."""

    def wait(self, started: Callable[[Callable[[], None]], None], timeout_s: float) -> bool:
        """Run `started(done)` on the loop and wait until `done` is called; False when `timeout_s` passed
        first.

        Called on the loop itself it cannot wait, and returns False at once with the work begun.
        """


__all__ = ["Address", "Channel", "ChannelUser", "Driver", "Randomness", "Timer"]
