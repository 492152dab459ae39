"""Check: boards that sleep most of the time are heard of as often as they should be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field

from dcompute_sim import trace as t
from dcompute_sim.checks.check import Check, CheckOutcome, failed, held, inconclusive, named
from dcompute_sim.checks.history import is_momentary
from dcompute_sim.trace import Event
from dcompute_sim.yamlfile.units import Duration

_NAMED = 12


@dataclass
class _Heard:
    """A connection of a node's, and when it ended."""

    event: t.NodeConnected
    until_us: int


@dataclass(frozen=True)
class _Trouble:
    kind: str
    since_us: int
    until_us: int


@dataclass(frozen=True)
class _Missed:
    before: t.NodeConnected  # when it was last heard of
    due_us: int
    why: str  # the kind of fault that explains it; ""

    def __str__(self) -> str:
        return f"{self.before.node} at {self.due_us / 1e6:,.0f} s ({self.why or 'no fault of ours'})"


class WakesUp(Check):
    """Each node connects again `every` so often; each time that it does not is named, and needs a fault.

    Counted from the end of one connection to the next, so a node's clock may drift. A fault explains what is
    missed from when it strikes until the first wake-up that was due after it healed.

    Limit: a wake-up that is never told to the broker is as good as missed.
    """

    name: ClassVar[str] = "wakes_up"
    occasion: ClassVar[str] = "nodes that sleep and connect again, in a run several times as long as `every`"

    every: Duration = Field(description="How often it should be heard of.")
    within: Duration = Field(default=60.0, description="How much later than that is still no miss.")
    group: str | None = Field(default=None, description="Only nodes of this group.")

    def judge(self, trace: Sequence[Event]) -> CheckOutcome:
        heard: dict[str, list[_Heard]] = {
            event.node: []
            for event in trace
            if isinstance(event, t.NodeDefined) and self.group in (None, event.group)
        }
        faults: dict[str, list[_Trouble]] = {node: [] for node in heard}
        ended_us = {event.fault: event.t_us for event in trace if isinstance(event, t.FaultEnded)}
        end_us = trace[-1].t_us if trace else 0
        for event in trace:
            match event:
                case t.NodeConnected(node=node) if node in heard:
                    heard[node].append(_Heard(event, end_us))
                case t.NodeDisconnected(node=node) | t.NodeStopped(node=node) if heard.get(node):
                    heard[node][-1].until_us = min(heard[node][-1].until_us, event.t_us)
                case t.FaultInjected(node=node) if node in faults:
                    lasts_until_us = event.t_us if is_momentary(event.kind) else end_us
                    until_us = ended_us.get(event.fault, lasts_until_us)
                    faults[node].append(_Trouble(event.kind, event.t_us, until_us))
        if not any(len(times) > 1 for times in heard.values()):
            return inconclusive("no node was heard of twice")
        missed = [
            miss
            for node, times in heard.items()
            for before, after_us in zip(
                times, [*(time.event.t_us for time in times[1:]), end_us], strict=True
            )
            for miss in self._missed(before, after_us, faults[node])
        ]
        unexplained = [miss for miss in missed if not miss.why]
        wakes = sum(map(len, heard.values()))
        figures = {"wake_ups": wakes, "missed": len(missed), "unexplained": len(unexplained)}
        told = f"{wakes:,} wake-ups, {len(missed)} missed"
        if missed:
            shown = unexplained + [miss for miss in missed if miss.why]
            told += ": " + ", ".join(map(str, shown[:_NAMED]))
            told += f" and {len(missed) - _NAMED} more" if len(missed) > _NAMED else ""
        if unexplained:
            return failed(told, [miss.before for miss in unexplained], figures)
        never = [node for node, times in heard.items() if not times]
        if never:
            return inconclusive(f"{named(never)} never woke; of the others: {told}", figures)
        return held(told, figures)

    def _missed(self, before: _Heard, after_us: int, faults: Sequence[_Trouble]) -> Iterator[_Missed]:
        every_us, within_us = round(self.every * 1e6), round(self.within * 1e6)
        for due_us in range(before.until_us + every_us, after_us - within_us, every_us):
            reaching = (
                fault.kind
                for fault in faults
                if fault.since_us <= due_us + within_us and due_us - every_us <= fault.until_us
            )
            yield _Missed(before.event, due_us, next(reaching, ""))
