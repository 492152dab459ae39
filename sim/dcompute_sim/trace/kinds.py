"""Every type of event, in the order in which the reference (docs/scenarios.md) has them."""

from __future__ import annotations

from dcompute_sim.trace import faults, final, master, nodes, run
from dcompute_sim.trace.event import Event

EVENT_TYPES: tuple[type[Event], ...] = tuple(
    kind
    for module in (run, nodes, master, faults, final)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
)
