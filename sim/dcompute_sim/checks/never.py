"""Check: this did not happen, or not too often, though it might have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from dcompute.parts import number_of
from dcompute_sim.checks.check import CheckOutcome, failed, held, inconclusive
from dcompute_sim.checks.event_pattern import EventPattern, is_wanted
from dcompute_sim.trace import Event, NodeConnected, RunEnded


class Never(EventPattern):
    """An event did not happen (or no more than so often), although nodes (the one that `where` names) had
    connected.

    A run that did not come to its end is undecided, for it might still have happened. Limit: that what would
    have made it happen took place is for another expectation to say, such as `sometimes`.
    """

    name: ClassVar[str] = "never"
    occasion: ClassVar[str] = "a run that comes to its end, with nodes that connect"

    more_than: int = Field(default=0, ge=0, description="So often it may happen.")

    def judge(self, trace: Sequence[Event]) -> CheckOutcome:
        found = self.found(trace)
        figures = {"count": len(found), "more_than": self.more_than}
        told = f"{self.event} happened {number_of(len(found), 'time')}"
        if len(found) > self.more_than:
            allowed = f" ({self.more_than} allowed)" if self.more_than else ""
            return failed(f"{told}{allowed}", found[self.more_than :], figures)
        who = self.where.get("node")
        if not any(
            isinstance(event, NodeConnected) and (who is None or is_wanted(event.node, who))
            for event in trace
        ):
            return inconclusive(f"no {self.event}: {f'{who} never' if who else 'no node'} connected", figures)
        if not (trace and isinstance(trace[-1], RunEnded) and trace[-1].reason == "finished"):
            return inconclusive(f"no {self.event}, in a run that did not come to its end", figures)
        return held(told if found else f"{self.event} did not happen", figures)
