"""Whether a bred scenario is one that the swarm could have drawn, so that the same promises must hold in it.

The rules are those of `scenario.swarm`, read as limits: all is over before the quiet time, most of the fleet
comes back, the node that work is piled on always does, broker and master are away only so often, and every
fault that was drawn waits until it can bite. A scenario beyond them may fail with any program: that would be
no finding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Set

from dcompute_sim.faults import Fault, NodeFault
from dcompute_sim.scenario import Scenario, Swarm
from dcompute_sim.scenario.semantics import complaints
from dcompute_sim.scenario.swarm import LIMITS, NOISE, OUTAGES, is_outage, kinds_of, last_begin_s, longest_s

_MOST_LOSS = 0.05
_EARLY = 0.05  # of the span: a fault that waits for an event may last as long as one that strikes then
_SLACK = 1e-3  # drawn values are written in milliseconds


def is_sensible(scenario: Scenario, swarm: Swarm, fixed: Set[str]) -> bool:
    """Say whether an explicit scenario makes sense and is within the swarm's ranges.

    Args:
        fixed: ids of the entries, and names of the groups, that the scenario has besides its swarm.
    """
    return not complaints(scenario) and not any(excesses(scenario, swarm, fixed))


def excesses(scenario: Scenario, swarm: Swarm, fixed: Set[str]) -> Iterator[str]:
    """Yield what is beyond the swarm's ranges, in words."""
    kinds = kinds_of(swarm)
    free = [fault for fault in scenario.faults if fault.id not in fixed]
    drawn = [fault for fault in free if fault.kind in kinds]
    noise = [fault for fault in free if fault.kind in NOISE]
    for what, entries, (fewest, most) in (
        ("faults", drawn, swarm.faults),
        ("messages of strangers", noise, swarm.noise),
    ):
        if not fewest <= len(entries) <= most:
            yield f"{len(entries)} {what}"
    for fault in free:
        if fault.kind not in kinds and fault.kind not in NOISE:
            yield f"{fault.id}: of a kind that is not drawn"
    if sum(is_outage(fault.kind) for fault in drawn) > OUTAGES:
        yield "outages without end"
    last_s = last_begin_s(swarm, scenario.fleet)
    for fault in drawn:
        if not fault.sure:
            yield f"{fault.id}: not as a swarm draws it"
        if fault.every is not None or fault.between is not None or (fault.at or 0.0) > last_s + _SLACK:
            yield f"{fault.id}: at another time than a swarm's"
        begin_s = _EARLY * swarm.span if fault.at is None else fault.at
        if fault.lasts is not None and fault.lasts > longest_s(swarm, fault.kind, begin_s) + _SLACK:
            yield f"{fault.id}: too long"
    yield from _lost(scenario, drawn)
    yield from _fleet(scenario, swarm, fixed)


def _lost(scenario: Scenario, drawn: list[Fault]) -> Iterator[str]:
    """Yield what is wrong with those that do not come back: there may be fewer than half, one a fault, and
    none with work piled."""
    for_good = [fault for fault in drawn if type(fault).recovers and fault.lasts is None]
    if len(for_good) > (len(scenario.nodes()) - 1) // 2:
        yield "too few are left"
    piled_on = {stream.target.node for stream in scenario.workload}
    for fault in for_good:
        if not isinstance(fault, NodeFault):
            yield f"{fault.id}: for good"
            continue
        names = fault.select.names
        if names is None or fault.select.count != 1 or not piled_on.isdisjoint(names):
            yield f"{fault.id}: takes one that must stay"


def _fleet(scenario: Scenario, swarm: Swarm, fixed: Set[str]) -> Iterator[str]:
    for name, group in scenario.fleet.items():
        if name in fixed:
            continue
        network = group.network
        within = (
            (network.latency or 0.0, swarm.latency),
            (network.jitter or 0.0, (0.0, swarm.latency[1])),
            (network.loss or 0.0, (0.0, _MOST_LOSS)),
        )
        if any(not low - _SLACK <= value <= high + _SLACK for value, (low, high) in within):
            yield f"{name}: network"
        if not math.floor(swarm.keepalive[0]) <= group.keepalive <= math.ceil(swarm.keepalive[1]):
            yield f"{name}: keepalive"
        for limit in LIMITS:
            limited, bounds = getattr(group, limit), getattr(swarm, limit)
            if limited is None or bounds is None:
                beyond = limited is not bounds  # as usual, where nothing is drawn
            else:
                beyond = not bounds[0] <= limited <= bounds[1]
            if beyond:
                yield f"{name}: {limit}"
