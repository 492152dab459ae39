"""Check: this did not happen, though it might have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from dcompute.parts import number_of
from dcompute_sim.checks.check import CheckOutcome, failed, held, inconclusive
from dcompute_sim.checks.event_pattern import EventPattern, is_wanted
from dcompute_sim.trace import Event, NodeConnected, RunEnded


class Never(EventPattern):
    """An event did not happen, although nodes (the one that `where` names) had connected.

    A run that did not come to its end is undecided, for it might still have happened. Limit: that what would
    have made it happen took place is for another expectation to say, such as `sometimes`.
    """

    name: ClassVar[str] = "never"
    occasion: ClassVar[str] = "a run that comes to its end, with nodes that connect"

    def judge(self, trace: Sequence[Event]) -> CheckOutcome:
        found = self.found(trace)
        figures = {"count": len(found)}
        if found:
            return failed(f"{self.event} happened {number_of(len(found), 'time')}", found, figures)
        who = self.where.get("node")
        if not any(
            isinstance(event, NodeConnected) and (who is None or is_wanted(event.node, who))
            for event in trace
        ):
            return inconclusive(f"no {self.event}: {f'{who} never' if who else 'no node'} connected", figures)
        if not (trace and isinstance(trace[-1], RunEnded) and trace[-1].reason == "finished"):
            return inconclusive(f"no {self.event}, in a run that did not come to its end", figures)
        return held(f"{self.event} did not happen", figures)
