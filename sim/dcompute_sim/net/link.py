"""A host's link to the network: how long bytes take, which are lost, and whether it works at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from dcompute_sim.rng import Rng

State = Literal["up", "silent", "off"]
"""`silent`: frames leave and vanish, the station believes it is connected. `off`: the WLAN is gone and the
station knows: it transmits nothing."""


def _nothing() -> float:
    """Draw for a link that leaves nothing to chance."""
    return 0.0


class Link:
    """One host's attachment. What crosses the network passes the sender's link and the receiver's.

    Args:
        seed_name: seeds this link's own random stream, so that no other link disturbs it.
        on_change: called after the state changed.
    """

    def __init__(self, seed_name: str, on_change: Callable[[], None]) -> None:
        self.state: State = "up"
        self.latency_s = 0.0
        self.jitter_s = 0.0
        self.bytes_per_s: float | None = None
        self.loss = 0.0  # probability that a segment is lost here
        self.crossings = 0
        """Segments that were delayed here so far."""
        self.ideal = True
        """Neither delays nor loses: need not be asked."""
        self.unsteady = False
        """What is sent may be lost, or hold up what follows."""
        self._seed_name = seed_name
        self.draw: Callable[[], float] = _nothing  # from 0 to 1; made when needed
        self._busy_until_s = 0.0
        self._on_change = on_change

    @property
    def is_up(self) -> bool:
        return self.state == "up"

    def configure(
        self,
        latency_s: float = 0.0,
        jitter_s: float = 0.0,
        bytes_per_s: float | None = None,
        loss: float = 0.0,
    ) -> None:
        """Set what the link does to segments sent from now on; each crossing takes `latency_s` plus up to
        `jitter_s`, and all segments of both directions share `bytes_per_s`, as they share a radio
        channel."""
        narrow = bytes_per_s is not None and bytes_per_s <= 0
        if min(latency_s, jitter_s) < 0 or not 0 <= loss < 1 or narrow:
            raise ValueError(
                "a link needs latency and jitter of at least 0, a loss in 0..1 (1 excluded) and a bandwidth "
                f"above 0; got {latency_s=}, {jitter_s=}, {loss=}, {bytes_per_s=}"
            )
        self.latency_s, self.jitter_s = latency_s, jitter_s
        self.bytes_per_s, self.loss = bytes_per_s, loss
        self.ideal = not (latency_s or jitter_s or bytes_per_s is not None or loss)
        self.unsteady = bytes_per_s is not None or loss > 0
        if (jitter_s or loss) and self.draw is _nothing:
            self.draw = Rng(self._seed_name).random
            self._seed_name = ""  # it is made once, and a fleet has thousands of these

    def down(self) -> None:
        """Let the link die: silence both ways, and the station does not know."""
        self._set("silent")

    def drop(self) -> None:
        """Drop the Wi-Fi: silence both ways, and the station knows that it lost its access point."""
        self._set("off")

    def up(self) -> None:
        """Let it work again."""
        self._set("up")

    def delay_s(self, n_bytes: int, now_s: float) -> float:
        """Tell how long a segment of `n_bytes` handed over now takes to cross."""
        self.crossings += 1
        delay_s = self.latency_s + self.jitter_s * self.draw() if self.jitter_s else self.latency_s
        if self.bytes_per_s is not None:
            start_s = max(now_s, self._busy_until_s)
            self._busy_until_s = start_s + n_bytes / self.bytes_per_s
            delay_s += self._busy_until_s - now_s
        return delay_s

    def round_trip_s(self) -> tuple[float, float]:
        """Return what a small segment's way there and the way back take here: the mean, and the mean
        deviation from it (of the sum of two even jitters: a third of one)."""
        return 2 * self.latency_s + self.jitter_s, self.jitter_s / 3

    def loses(self) -> bool:
        """Draw whether the segment is lost here; to be asked only of a link with some `loss`."""
        return self.draw() < self.loss

    def _set(self, state: State) -> None:
        if state != self.state:
            self.state = state
            self._on_change()
