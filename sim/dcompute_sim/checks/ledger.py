"""What a check writes down while the trace goes by, to hold later events against it.

A check that must remember much of many participants has a ledger: one method for each type of event, named in
`take_in`, so that each rule stands by itself and events of other types cost nothing. What is wrong goes into
`breaches`; what was judged is counted, for a check that judged nothing is undecided.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from dcompute_sim import trace as t
from dcompute_sim.checks.breaches import Breaches
from dcompute_sim.checks.check import CheckOutcome, held, inconclusive, of_kinds

Taking = Mapping[type[t.Event], Callable[[Any], object]]


class Ledger:
    """Read a trace with it, then ask for the outcome.

    Args:
        judged: what is counted, in words for people; each a figure of the outcome.

    Attributes:
        take_in: what to do with an event, by its type.
    """

    def __init__(self, *judged: str) -> None:
        self.breaches = Breaches()
        self.judged = dict.fromkeys(judged, 0)
        self.take_in: Taking = {}

    def read(self, trace: Sequence[t.Event]) -> Self:
        """Take in a whole trace; return the ledger."""
        for event in of_kinds(self.take_in, trace):
            self.take_in[type(event)](event)
        self.close(trace[-1].t_us if trace else 0)
        return self

    def close(self, end_us: int) -> None:
        """Judge what is still owed, and will not come: the run is over."""

    def told(self) -> str:
        """Return what was judged, in words: `3 deaths, 12 counts`."""
        return ", ".join(f"{count} {what}" for what, count in self.judged.items() if count)

    def outcome(self, true: str, *, broken: str, untested: str) -> CheckOutcome:
        """Return the end of a check.

        Args:
            true: what to say when nothing is wrong.
            broken: what to say before the kinds of breaches.
            untested: what to say when nothing was judged.
        """
        figures: dict[str, float | int | str] = dict(self.judged)
        if self.breaches:
            return self.breaches.outcome(broken, figures)
        if not any(self.judged.values()):
            return inconclusive(untested, figures)
        return held(true, figures)


__all__ = ["Ledger", "Taking"]
