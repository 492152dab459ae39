"""Check: boards get by with their battery."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import Field

from dcompute.parts import number_of
from dcompute_sim.checks.check import Check, CheckOutcome, Measurement, failed, held, inconclusive, named
from dcompute_sim.trace import Event, NodeDefined, NodePower
from dcompute_sim.trace.energy import energy
from dcompute_sim.yamlfile.units import Duration

_H_PER_DAY = 24


class BatteryLasts(Check):
    """At the rate at which each board drew current while it had power, its battery lasts for `at_least`.

    The current is that of the chip's states (`timing:`): booting, joining, connected with or without power
    saving, deep sleep.

    Limit: of the chip alone. What a board has besides (a regulator, a USB bridge, a sensor) and what a
    battery loses by itself come on top. Real time knows no current.
    """

    name: ClassVar[str] = "battery_lasts"
    occasion: ClassVar[str] = "boards (`kind: firmware`) of a chip with a timing, in virtual time"

    at_least: Duration = Field(description="How long: `90d`.")
    capacity_mah: Annotated[float, Field(gt=0)] = Field(
        default=2500.0, description="What is in the battery, in milliampere-hours."
    )
    group: str | None = Field(default=None, description="Only nodes of this group.")

    def judge(self, trace: Sequence[Event]) -> CheckOutcome:
        of_group = {
            event.node
            for event in trace
            if isinstance(event, NodeDefined) and self.group in (None, event.group)
        }
        days = {
            node: drawn.lasts_h(self.capacity_mah) / _H_PER_DAY
            for node, drawn in energy(trace).items()
            if node in of_group and drawn.powered_h
        }
        if not days:
            return inconclusive("of no board is the current known: those of a timed chip in virtual time")
        bound_d = self.at_least / 86_400
        measured = Measurement("battery life", "d", tuple(days.values()))
        figures = {"boards": len(days), "least_days": round(min(days.values()), 2)}
        told = f"{self.capacity_mah:,g} mAh last {min(days.values()):,.1f} to {max(days.values()):,.1f} days"
        short = [node for node, life_d in days.items() if life_d < bound_d]
        if short:
            last = {event.node: event for event in trace if isinstance(event, NodePower)}
            told = (
                f"{named(short)} of {number_of(len(days), 'board')} would not last "
                f"{bound_d:,.1f} days: {told}"
            )
            return failed(told, [last[node] for node in short], figures, [measured])
        return held(told, figures, [measured])
