"""Check: nodes stay within their memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from dcompute.parts import number_of
from dcompute_sim.checks.check import Check, CheckOutcome, failed, held, inconclusive, named
from dcompute_sim.trace import Event, NodeDefined, NodeMemory
from dcompute_sim.yamlfile.units import Size, format_size


class MemoryBelow(Check):
    """No node's allocated heap ever exceeds `limit`.

    A board that never answered is undecided, whatever the others said: it may not even have booted.

    Limit: sees what firmware nodes answer when asked, after a collection: every 10 s, in long runs 30 times,
    and at the end; not the peaks in between, and not python nodes. The readings differ by some bytes from run
    to run, so they are no part of the trace's digest. To see whether a heap is enough, run in one of that
    size (`heap`).
    """

    name: ClassVar[str] = "memory_below"
    occasion: ClassVar[str] = "boards (`kind: firmware`) that boot, in a run longer than `every`"

    limit: Size = Field(description="Allocated bytes.")
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
            return inconclusive("no node told its memory: only emulated boards do, when they are asked")
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
        told = f"peak {peak} B of {format_size(self.limit)} allowed, {number_of(len(readings), 'reading')}"
        if above:
            return failed(told, above, figures)
        if silent:
            return inconclusive(f"{named(silent)} never told its memory; of the others: {told}", figures)
        return held(told, figures)
