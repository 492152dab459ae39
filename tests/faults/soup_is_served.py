"""A check that nobody but this file knows, as a user would write one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from dcompute_sim.checks.check import Check, CheckOutcome, Measurement, failed, held, inconclusive
from dcompute_sim.trace import Event, ResultReceived
from dcompute_sim.yamlfile.units import Duration
from pydantic import Field


class SoupIsServed(Check):
    """The first result comes before the guests have gone."""

    name: ClassVar[str] = "soup_is_served"

    patience: Duration = Field(default=20.0, description="Of the guests.")

    def judge(self, trace: Sequence[Event]) -> CheckOutcome:
        first = next((event for event in trace if isinstance(event, ResultReceived)), None)
        if first is None:
            return inconclusive("nothing was cooked")
        measured = [Measurement("first spoon", "s", (first.t_s,), self.patience)]
        if first.t_s > self.patience:
            return failed("the guests had gone", [first], distributions=measured)
        return held("the guests were served", distributions=measured)
