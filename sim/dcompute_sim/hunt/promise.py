"""What a run promises for its cost before it is done, by which one of several drafts is chosen.

A draft is made in milliseconds, a run takes fifty. What a run shows grows with the pairs of faults that
strike one node soon after one another, whatever the size of its fleet; what it costs, with its nodes and
tasks. Of a pair of kinds that many runs have shown little new is to be expected, so it counts by how seldom
it was met. So does each row of ends of a node's connections that its faults will make, as far as that is
known: else a row of one kind of fault, which is one pair, would hardly ever be chosen.

Of four drafts each the best: in 40 s of CPU a hunt met rare pairs 1.16 times as often as with one (on a list
drawn by seeds of its own), and 1.35 times as many different pairs of faults and states. Of
eight each, making them took the time of a quarter of the runs, and more was lost by it than was won.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from dcompute_sim.faults import NodeFault
from dcompute_sim.hunt.draft import ends_at_once
from dcompute_sim.hunt.features import Feature, kinds_met, rows_met
from dcompute_sim.hunt.moments import STAGES
from dcompute_sim.scenario import Scenario

_SOON_S = 5.0
_STAGE = dict(zip(STAGES, ("connecting", "subscribing", "connected"), strict=True))


class Promise:
    """Knows which kinds of fault have met at a node, and how often."""

    def __init__(self) -> None:
        self._met = Counter[tuple[str, str]]()
        self._rows = Counter[tuple[str, ...]]()

    def take(self, features: Iterable[Feature]) -> None:
        """Count what a run has shown."""
        self._met.update(kinds_met(features))
        self._rows.update(rows_met(features))

    def of_bred(self, scenario: Scenario) -> float:
        """Return what its pairs of faults at one node, and the rows of ends due there, are worth for its
        cost: of these it is known whom they strike."""
        at: dict[str, list[NodeFault]] = {}
        for fault in scenario.faults:
            if not isinstance(fault, NodeFault):
                continue
            names = fault.select.names
            if names is not None and len(names) == 1:
                at.setdefault(names[0], []).append(fault)
        pairs = {
            (first.kind, second.kind)
            for faults in at.values()
            for first, second in itertools.permutations(faults, 2)
            if first.at is None or second.at is None or 0 <= second.at - first.at <= _SOON_S
        }
        worth = sum(1 / (1 + self._met[pair]) for pair in pairs)
        worth += sum(1 / (1 + self._rows[row]) for faults in at.values() for row in _rows_due(faults))
        return worth / _cost(scenario)


def _rows_due(faults: Sequence[NodeFault]) -> Iterator[tuple[str, ...]]:
    """Yield how far connections of a node will have come that are ended in a row, as far as that is known."""
    stages = [
        _STAGE.get(fault.when.event, "connected") if fault.when is not None else "connected"
        for fault in faults
        if ends_at_once(type(fault))
    ]
    for length in (2, 3, 4):
        for start in range(len(stages) - length + 1):
            yield tuple(stages[start : start + length])


def of_fresh(scenario: Scenario) -> float:
    """Return how many faults it has for its cost: whom they will strike is mostly drawn in the run."""
    return len(scenario.faults) / _cost(scenario)


def _cost(scenario: Scenario) -> float:
    tasks = sum(stream.tasks or 0 for stream in scenario.workload)
    return 12 + 2 * len(scenario.nodes()) + tasks
