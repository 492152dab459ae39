"""What programs of boards met that is not as on a chip, in words: a verdict holds for what was there."""

from __future__ import annotations

from collections.abc import Iterable

from dcompute_sim import trace as t
from dcompute_sim.micropython.unmodelled import in_words


def not_modelled(events: Iterable[t.Event]) -> list[str]:
    """Return one sentence for each name, with the boards that met it."""
    askers: dict[str, dict[str, None]] = {}
    for event in events:
        if isinstance(event, t.NotModelled):
            askers.setdefault(event.name, {})[event.node] = None
    return [in_words(name, _of(list(nodes))) for name, nodes in askers.items()]


def _of(nodes: list[str]) -> str:
    return nodes[0] if len(nodes) == 1 else f"{nodes[0]} and {len(nodes) - 1} more"
