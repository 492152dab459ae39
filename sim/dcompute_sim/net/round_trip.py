"""What a TCP sender knows of its round trip, and how long it therefore waits for an acknowledgement."""

from __future__ import annotations

from typing import Protocol


class RoundTrip(Protocol):
    """One connection's measurement, in the manner of one kernel."""

    @property
    def mean_s(self) -> float | None:
        """The smoothed round trip; None before the first."""

    @property
    def timeout_s(self) -> float:
        """How long to wait for an acknowledgement before sending again the first time."""

    def measured(self, round_trip_s: float) -> None:
        """Take in the time from a segment to its acknowledgement."""

    def settled(self, mean_s: float, deviation_s: float) -> None:
        """Know what many measurements of a link that did not change have led to."""


class SmoothedRoundTrip:
    """RFC 6298, section 2, as Linux does it (tcp_rtt_estimator in net/ipv4/tcp_input.c): its floor is what
    the deviation counts for at least, not a minimum of the whole; and a round trip that is shorter than the
    mean raises the deviation by an eighth of what a longer one would."""

    __slots__ = ("_floor_s", "_initial_s", "_variation_s", "mean_s")

    def __init__(self, initial_s: float, floor_s: float) -> None:
        self._initial_s = initial_s
        self._floor_s = floor_s
        self.mean_s: float | None = None
        self._variation_s = 0.0

    @property
    def timeout_s(self) -> float:
        if self.mean_s is None:
            return self._initial_s
        return self.mean_s + max(self._floor_s, 4 * self._variation_s)

    def measured(self, round_trip_s: float) -> None:
        if self.mean_s is None:
            self.settled(round_trip_s, round_trip_s / 2)  # [RFC 6298, 2.2]
            return
        error_s = round_trip_s - self.mean_s
        more_s = abs(error_s) - self._variation_s
        self._variation_s += more_s / 32 if error_s < 0 < more_s else more_s / 4  # [RFC 6298, 2.3]
        self.mean_s += error_s / 8

    def settled(self, mean_s: float, deviation_s: float) -> None:
        self.mean_s, self._variation_s = mean_s, deviation_s


class TickedRoundTrip:
    """lwIP's (tcp_receive in src/core/tcp_in.c): Van Jacobson's integers, in ticks of the slow timer, so that
    what is short counts as nothing and the timeout does not fall below three ticks."""

    __slots__ = ("_deviation", "_mean", "_tick_s")

    def __init__(self, initial_s: float, tick_s: float) -> None:
        self._tick_s = tick_s
        self._mean = 0  # eighths of a tick
        self._deviation = round(initial_s / tick_s)  # quarters of a tick

    @property
    def mean_s(self) -> float | None:
        return (self._mean >> 3) * self._tick_s if self._mean else None

    @property
    def timeout_s(self) -> float:
        return ((self._mean >> 3) + self._deviation) * self._tick_s

    def measured(self, round_trip_s: float) -> None:
        error = int(round_trip_s / self._tick_s + 0.5) - (self._mean >> 3)
        self._mean += error
        self._deviation += abs(error) - (self._deviation >> 2)

    def settled(self, mean_s: float, deviation_s: float) -> None:
        for _ in range(8):  # as many as its memory is long
            self.measured(mean_s + deviation_s)
            self.measured(max(0.0, mean_s - deviation_s))
