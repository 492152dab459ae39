"""Check: this must have happened at least once, or the run did not test what it is for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from dcompute.parts import number_of
from dcompute_sim.checks.check import CheckOutcome, failed, held, inconclusive
from dcompute_sim.checks.event_pattern import EventPattern
from dcompute_sim.trace import Event, RunEnded


class Sometimes(EventPattern):
    """An event happened at least so many times.

    A run that did not come to its end is undecided, for it might still have happened. Limit: says that it
    happened, not that it was right; it guards the other expectations against a run in
    which nothing they speak of occurred.
    """

    name: ClassVar[str] = "sometimes"
    occasion: ClassVar[str] = "a run that comes to its end"

    at_least: int = Field(default=1, ge=1, description="How often, at least.")

    def judge(self, trace: Sequence[Event]) -> CheckOutcome:
        count = len(self.found(trace))
        told = f"{self.event} happened {number_of(count, 'time')} ({self.at_least} needed)"
        figures = {"count": count, "at_least": self.at_least}
        if count >= self.at_least:
            return held(told, figures)
        if not (trace and isinstance(trace[-1], RunEnded) and trace[-1].reason == "finished"):
            return inconclusive(f"{told}, in a run that did not come to its end", figures)
        return failed(told, [], figures)
