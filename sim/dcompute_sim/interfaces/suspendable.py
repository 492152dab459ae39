"""A driver that can be frozen or cut off: the program of one participant, which may hang or die.

Everything the transports are told comes through here. Frozen, it waits in order and happens at the thaw, as
for a program that stood still; cut off, it never happens, as for a program that is no more.
"""

from __future__ import annotations

from collections.abc import Callable

from dcompute.drivers import Address, Channel, ChannelUser, Driver, Timer
from dcompute_sim.rng import Dice


class Gate:
    """A `Driver` over another one.

    Args:
        rng: this participant's own randomness.
        on_withheld: is told whenever something is held back while frozen.
    """

    def __init__(self, inner: Driver, rng: Dice, on_withheld: Callable[[], None] | None = None) -> None:
        self.random = rng
        self._inner = inner
        self._on_withheld = on_withheld
        self._waiting: list[Callable[[], None]] | None = None  # not None: frozen
        self._cut = False
        self.channels: list[Channel] = []

    def freeze(self) -> None:
        """From now on everything waits."""
        if self._waiting is None:
            self._waiting = []

    def thaw(self) -> None:
        """Let happen what has waited."""
        waiting, self._waiting = self._waiting or [], None
        for call in waiting:
            self.run(call)

    def cut(self) -> None:
        """Nothing more happens, ever."""
        self._cut = True

    def run(self, call: Callable[[], None]) -> None:
        """Run `call` now, at the thaw, or never."""
        if self._cut:
            return
        if self._waiting is None:
            call()
            return
        self._waiting.append(call)
        if self._on_withheld is not None:
            self._on_withheld()

    # --- Driver -----------------------------------------------------------------------------------------

    def now_s(self) -> float:
        return self._inner.now_s()

    def wall_s(self) -> float:
        return self._inner.wall_s()

    def call_on_loop(self, call: Callable[[], None]) -> None:
        self._inner.call_on_loop(lambda: self.run(call))

    def call_later(self, delay_s: float, call: Callable[[], None]) -> Timer:
        return _GatedTimer(self, self._inner, delay_s, call)

    def dial(self, address: Address, user: ChannelUser) -> Timer:
        return self._inner.dial(address, _GatedUser(self, user))

    def deliver(self, call: Callable[[], None]) -> None:
        self._inner.deliver(lambda: self.run(call))

    def wait(self, started: Callable[[Callable[[], None]], None], timeout_s: float) -> bool:
        return self._inner.wait(started, timeout_s)


class _GatedTimer:
    """A timer that can still be cancelled when it is due and waits for the thaw, as in any event loop."""

    __slots__ = ("_call", "_gate", "_timer")

    def __init__(self, gate: Gate, inner: Driver, delay_s: float, call: Callable[[], None]) -> None:
        self._gate = gate
        self._call: Callable[[], None] | None = call
        self._timer = inner.call_later(delay_s, self._due)

    def cancel(self) -> None:
        self._call = None
        self._timer.cancel()

    def _due(self) -> None:
        self._gate.run(self._happen)

    def _happen(self) -> None:
        if self._call is not None:
            self._call()


class _GatedUser:
    """Passes on what a channel tells, when the gate lets it."""

    __slots__ = ("_channel", "_gate", "_user")

    def __init__(self, gate: Gate, user: ChannelUser) -> None:
        self._gate = gate
        self._user = user
        self._channel: Channel | None = None

    def channel_open(self, channel: Channel) -> None:
        self._channel = channel
        self._gate.channels.append(channel)
        self._gate.run(lambda: self._user.channel_open(channel))

    def channel_data(self, data: bytes) -> None:
        gate = self._gate
        if gate._waiting is None and not gate._cut:
            self._user.channel_data(data)
        else:
            gate.run(lambda: self._user.channel_data(data))

    def channel_lost(self, error: Exception | None) -> None:
        if self._channel is not None:
            self._gate.channels.remove(self._channel)
            self._channel = None
        self._gate.run(lambda: self._user.channel_lost(error))
