"""Check: nodes stay within their memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from dcompute_sim.checks.check import Check, CheckOutcome, failed, held, inconclusive, named
from dcompute_sim.trace import Event, NodeDefined, NodeMemory
from dcompute_sim.yamlfile.units import Duration, Size, format_duration, format_size


class MemoryBelow(Check):
    """No node's allocated heap ever exceeds `limit`.

    A board that never answered is undecided, whatever the others said: it may not even have booted.

    Limit: sees what firmware nodes answer when asked, after a collection; not the peaks in between, and not
    python nodes. The readings differ by some bytes from run to run, so they are no part of the trace's
    digest.
    """

    name: ClassVar[str] = "memory_below"
    occasion: ClassVar[str] = "boards (`kind: firmware`) that boot, in a run longer than `every`"

    limit: Size = Field(description="Allocated bytes.")
    every: Duration = Field(default=10.0, gt=0, description="How often each node is asked.")
    group: str | None = Field(default=None, description="Only nodes of this group.")

    def judge(self, trace: Sequence[Event]) -> CheckOutcome:
        defined = [event for event in trace if isinstance(event, NodeDefined)]
        group_of = {event.node: event.group for event in defined}
        readings = [
            event
            for event in trace
            if isinstance(event, NodeMemory) and self.group in (None, group_of.get(event.node))
        ]
        if not readings:
            return inconclusive(
                "no node reported its memory: only firmware does, when asked "
                f"(every {format_duration(self.every)})"
            )
        above = [event for event in readings if event.allocated > self.limit]
        peak = max(event.allocated for event in readings)
        answered = {event.node for event in readings}
        silent = [
            event.node
            for event in defined
            if event.kind != "python" and self.group in (None, event.group) and event.node not in answered
        ]
        figures = {
            "readings": len(readings),
            "peak_bytes": peak,
            "above": len(above),
            "never_read": len(silent),
        }
        told = f"peak {peak} B of {format_size(self.limit)} allowed, {len(readings)} readings"
        if above:
            return failed(told, above, figures)
        if silent:
            return inconclusive(f"{named(silent)} never told its memory; of the others: {told}", figures)
        return held(told, figures)
