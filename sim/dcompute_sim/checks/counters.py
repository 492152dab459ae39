"""Check: figures that a participant's public API gives are those that the scenario knows beforehand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from pydantic import Field

from dcompute.parts import noun, number_of
from dcompute_sim import trace as t
from dcompute_sim.checks.check import Check, CheckOutcome, failed, held, inconclusive, named, of_kinds

_OF_COUNTERS = frozenset({t.Counters, t.MasterCounted, t.ExecutorAnswered})


class CountersAre(Check):
    """At the end the counters of the master, of a python node or of an executor are these, as whoever wrote
    the scenario knows beforehand: so many strangers were turned away, so many results dropped.

    Limit: the last that was told counts; what they were before is not looked at.
    """

    name: ClassVar[str] = "counters"
    occasion: ClassVar[str] = "somebody of this name who has such counters, and runs at the end"

    who: str = Field(default="master", description="The master, a python node, or an executor, by name.")
    are: dict[str, int] = Field(
        description="What they are, by name, such as `{nodes_refused: 3}`.", min_length=1
    )

    def judge(self, trace: Sequence[t.Event]) -> CheckOutcome:
        last: t.Event | None = None
        values: Mapping[str, int] = {}
        for event, who, told in _told(trace):
            if who == self.who:
                last, values = event, told
        figures: dict[str, float | int | str] = {name: values[name] for name in self.are if name in values}
        if last is None:
            return inconclusive(f"{self.who} told no counters", figures)
        if unknown := [name for name in self.are if name not in values]:
            return inconclusive(
                f"{self.who} has no counter {named(unknown)}; there are: {', '.join(sorted(values))}", figures
            )
        wrong = [
            f"{name} is {values[name]:,}, not {count:,}"
            for name, count in self.are.items()
            if values[name] != count
        ]
        if wrong:
            return failed(f"of {self.who}, {'; '.join(wrong)}", [last], figures)
        count = len(self.are)
        return held(
            f"{number_of(count, 'counter')} of {self.who} {noun(count, 'is', 'are')} as known", figures
        )


def _told(trace: Sequence[t.Event]) -> Iterator[tuple[t.Event, str, Mapping[str, int]]]:
    """Yield each account of counters, and whose it is."""
    for event in of_kinds(_OF_COUNTERS, trace):
        match event:
            case t.Counters(who=who, values=values) | t.ExecutorAnswered(asker=who, values=values):
                yield event, who, values
            case t.MasterCounted(values=values):
                yield event, "master", values
