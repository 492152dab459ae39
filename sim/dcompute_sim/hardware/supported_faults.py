"""What can be done to a board on a serial port, said before anything is done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dcompute_sim.faults import NodeFault
from dcompute_sim.faults.fault import Platform
from dcompute_sim.hardware.hardware_map import BoardLocation
from dcompute_sim.interfaces.world import EngineError
from dcompute_sim.scenario import Scenario


def nodes_with_hooks(scenario: Scenario, places: Mapping[str, BoardLocation]) -> frozenset[str]:
    """Return the boards that may be struck by a fault which only firmware with debug hooks can do."""
    asked = [fault for fault in scenario.faults if isinstance(fault, NodeFault) and fault.needs_hooks]
    return frozenset(n for n in places for fault in asked if _may_choose(scenario, fault, n))


def check_supported(scenario: Scenario, places: Mapping[str, BoardLocation]) -> None:
    """Raise EngineError, naming fault and node, for whatever of a concrete scenario boards cannot do."""
    problems = [*_faults(scenario, places), *_groups(scenario, places)]
    if problems:
        head = f"{scenario.name} cannot run on these boards; nothing was started:"
        raise EngineError("\n  ".join([head, *problems]))


def _faults(scenario: Scenario, places: Mapping[str, BoardLocation]) -> Iterator[str]:
    for index, fault in enumerate(scenario.faults):
        if not isinstance(fault, NodeFault):
            continue
        for node, place in places.items():
            why = fault.impossible.get(Platform.VIRTUAL_BOARD if place.virtual else Platform.REAL_BOARD)
            if why is not None and _may_choose(scenario, fault, node):
                yield (
                    f"faults[{index}]: {fault.kind} cannot be done to the board {node}: {why}; "
                    "`select` other nodes, or use --target emulator"
                )
                break  # once is enough: the others are alike, or are named when this one is mended


def _may_choose(scenario: Scenario, fault: NodeFault, node: str) -> bool:
    names, groups = fault.select.names, fault.select.groups
    return (names is None or node in names) and (groups is None or scenario.nodes()[node] in groups)


def _groups(scenario: Scenario, places: Mapping[str, BoardLocation]) -> Iterator[str]:
    group_of = scenario.nodes()
    for name, group in scenario.fleet.items():
        real = [n for n, place in places.items() if group_of[n] == name and not place.virtual]
        for key in ("files", "entry", "heap"):
            if real and getattr(group, key) is not None:
                yield f"group {name}: `{key}`: the board {real[0]} runs what was deployed to it, as it is"
