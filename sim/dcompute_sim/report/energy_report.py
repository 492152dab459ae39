"""What boards have drawn, in words: one sentence a group, for where a battery is thought of."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import mean

from dcompute_sim import trace as t
from dcompute_sim.trace.energy import Drawn, energy

BATTERY_MAH = 2500
"""Two AA cells, or a middling 18650."""


def drawn_by_group(events: Iterable[t.Event]) -> list[str]:
    """Return one sentence for each group with boards whose current is known."""
    events = list(events)
    group_of = {event.node: event.group for event in events if isinstance(event, t.NodeDefined)}
    groups: dict[str, list[Drawn]] = {}
    for node, drawn in energy(events).items():
        groups.setdefault(group_of.get(node, node), []).append(drawn)
    return [_sentence(group, boards) for group, boards in groups.items()]


def drawn_by_node(events: Iterable[t.Event]) -> dict[str, dict[str, object]]:
    """Return figures of each board whose current is known."""
    return {
        node: {
            "mah": round(drawn.milliampere_hours, 4),
            "mean_ma": round(drawn.mean_ma, 4),
            "tasks": drawn.tasks,
            f"days_on_{BATTERY_MAH}_mah": round(drawn.lasts_h(BATTERY_MAH) / 24, 2),
        }
        for node, drawn in energy(events).items()
    }


def _sentence(group: str, boards: list[Drawn]) -> str:
    mean_ma = mean(board.mean_ma for board in boards)
    shortest_d = min(board.lasts_h(BATTERY_MAH) for board in boards) / 24
    told = f"{group} draws {mean_ma:.3g} mA a board, for which {BATTERY_MAH:,} mAh last {shortest_d:.3g} days"
    tasks = sum(board.tasks for board in boards)
    if tasks:
        told += f"; {sum(board.milliampere_hours for board in boards) / tasks:.3g} mAh a task"
    return told
