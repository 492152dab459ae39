"""What each board has drawn, from the trace: the current of each state for as long as it lasted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dcompute_sim.trace.event import Event
from dcompute_sim.trace.node_events import NodePower, TaskFinished

_US_PER_H = 3600e6


@dataclass(slots=True)
class Drawn:
    """What one board has drawn while it had power."""

    milliampere_hours: float = 0.0
    powered_h: float = 0.0
    tasks: int = 0

    @property
    def mean_ma(self) -> float:
        """Milliamperes on average; 0 for a board that never had power."""
        return self.milliampere_hours / self.powered_h if self.powered_h else 0.0

    def lasts_h(self, capacity_mah: float) -> float:
        """Return the hours that a battery lasts at this rate."""
        return capacity_mah / self.mean_ma if self.mean_ma else float("inf")


def energy(events: Iterable[Event]) -> dict[str, Drawn]:
    """Return, by node, what was drawn where the current is known: boards of a timed chip (`timing:`) in
    virtual time."""
    drawn: dict[str, Drawn] = {}
    since: dict[str, NodePower] = {}
    end_us = 0
    finished: dict[str, int] = {}
    for event in events:
        end_us = event.t_us
        if isinstance(event, NodePower):
            drawn.setdefault(event.node, Drawn())
            _add(drawn, since.get(event.node), end_us)
            since[event.node] = event
        elif isinstance(event, TaskFinished):
            finished[event.node] = finished.get(event.node, 0) + 1
    for node, board in drawn.items():
        _add(drawn, since[node], end_us)
        board.tasks = finished.get(node, 0)
    return drawn


def _add(drawn: dict[str, Drawn], state: NodePower | None, until_us: int) -> None:
    if state is not None and state.state != "off":
        hours = (until_us - state.t_us) / _US_PER_H
        drawn[state.node].powered_h += hours
        drawn[state.node].milliampere_hours += hours * state.microamperes / 1000
