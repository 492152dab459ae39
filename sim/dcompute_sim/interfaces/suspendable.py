"""A driver that can be frozen or cut off: the program of one participant, which may hang or die.

The rules:

1. **Everything the transports are told comes through here**, and through here only: timers, bytes, ends of
   connections, users' callbacks. That is what makes a hang of a program in our own process whole.
2. **Frozen, it waits, in order, and happens at the thaw**, as for a program that stood still: the kernel goes
   on receiving for it, timers fall due, and all of it is there at once when it wakes.
3. **Cut off, it never happens**, as for a program that is no more. There is no way back: a program that is
   started again is another one, with another driver.
4. **What is due may still be called off.** A timer that fell due in a hang waits as its *cancellable* self:
   what waited before it may cancel it, as in any event loop that wakes up late. (Seed 5293 of the swarm: an
   attempt that failed in a hang, and whose time was up in the same one, was counted twice.)
5. What is held back is told (`Watcher`): that the program had something to do and did not do it
   is the receipt of the fault.

Why here and not in the transports: production code knows nothing of faults, and the same driver suits every
participant in either kind of time. Rejected: stopping the real loop (SIGSTOP, as emulated boards get): a
thousand nodes share it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from dcompute.drivers import Address, Channel, ChannelUser, Driver, Timer
from dcompute_sim.rng import Rng


class Watcher(Protocol):
    """Who is told how a program fares."""

    def withheld(self) -> None:
        """Take in that something is held back while it is frozen."""

    def waited(self) -> None:
        """Take in that what it waited for is done: in the testbed `wait` itself waits for nothing, as one
        thread runs everybody."""


class SuspendableDriver:
    """A `Driver` over another one.

    Args:
        rng: this participant's own randomness.
    """

    __slots__ = (
        "_cut",
        "_inner",
        "_waiting",
        "_watcher",
        "channels",
        "now_s",
        "random",
        "wall_s",
    )

    def __init__(self, inner: Driver, rng: Rng, watcher: Watcher | None = None) -> None:
        self.random = rng
        self.now_s, self.wall_s = inner.now_s, inner.wall_s  # asked at every message; clocks go on in a hang
        self._inner = inner
        self._watcher = watcher
        self._waiting: list[Callable[[], None]] | None = None  # not None: frozen
        self._cut = False
        self.channels: list[Channel] = []

    def freeze(self) -> None:
        """Let everything wait from now on."""
        if self._waiting is None:
            self._waiting = []

    def thaw(self) -> None:
        """Let happen what has waited."""
        waiting, self._waiting = self._waiting or [], None
        for call in waiting:
            self.run(call)

    def cut(self) -> None:
        """Let nothing more happen, ever."""
        self._cut = True

    def run(self, call: Callable[[], None]) -> None:
        """Run `call` now, at the thaw, or never."""
        if self._cut:
            return
        if self._waiting is None:
            call()
            return
        self._waiting.append(call)
        if self._watcher is not None:
            self._watcher.withheld()

    # --- Driver -----------------------------------------------------------------------------------------

    def call_on_loop(self, call: Callable[[], None]) -> None:
        self._inner.call_on_loop(partial(self.run, call))

    def call_later(self, delay_s: float, call: Callable[[], None]) -> Timer:
        timer = _SuspendableTimer()
        timer._driver, timer._call = self, call
        timer._timer = self._inner.call_later(delay_s, timer._due)
        return timer

    def dial(self, address: Address, user: ChannelUser) -> Timer:
        return self._inner.dial(address, _SuspendableUser(self, user))

    def deliver(self, call: Callable[[], None]) -> None:
        self._inner.deliver(partial(self.run, call))

    def wait(self, started: Callable[[Callable[[], None]], None], timeout_s: float) -> bool:
        def begin(done: Callable[[], None]) -> None:
            def finished() -> None:
                done()
                if self._watcher is not None and not self._cut:
                    self._watcher.waited()

            started(finished)

        return self._inner.wait(begin, timeout_s)


class _SuspendableTimer:
    """A timer that can still be cancelled when it is due and waits for the thaw, as in any event loop."""

    # Without an `__init__`: to call that takes CPython 3.11 longer than to set these.
    __slots__ = ("_call", "_driver", "_timer")
    _call: Callable[[], None] | None
    _driver: SuspendableDriver
    _timer: Timer

    def cancel(self) -> None:
        self._call = None
        self._timer.cancel()

    def _due(self) -> None:
        driver = self._driver
        if driver._waiting is not None or driver._cut:
            driver.run(self._happen)
        elif self._call is not None:
            self._call()

    def _happen(self) -> None:
        if self._call is not None:
            self._call()


class _SuspendableUser:
    """Passes on what a channel tells, when the driver lets it."""

    __slots__ = ("_channel", "_driver", "_user")

    def __init__(self, driver: SuspendableDriver, user: ChannelUser) -> None:
        self._driver = driver
        self._user = user
        self._channel: Channel | None = None

    def channel_open(self, channel: Channel) -> None:
        self._channel = channel
        self._driver.channels.append(channel)
        self._driver.run(lambda: self._user.channel_open(channel))

    def channel_data(self, data: bytes) -> None:
        driver = self._driver
        if driver._waiting is None and not driver._cut:
            self._user.channel_data(data)
        else:
            driver.run(lambda: self._user.channel_data(data))

    def channel_lost(self, error: Exception | None) -> None:
        if self._channel is not None:
            self._driver.channels.remove(self._channel)
            self._channel = None
        self._driver.run(lambda: self._user.channel_lost(error))
