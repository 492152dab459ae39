"""What can be done to a board on a serial port, said before anything is done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dcompute_sim.hardware.hardware_map import Place
from dcompute_sim.interfaces.world import EngineError
from dcompute_sim.scenario import KINDS, Scenario
from dcompute_sim.scenario.faults import Hang, NodeFault

BY_SOFTWARE = frozenset(
    {
        "crash",  # soft reset, held at the prompt
        "reboot",  # machine.reset() or the RTS line
        "hang",  # debug hook
        "reset",  # RST at the link's proxy, as are all that follow
        "wifi_drop",
        "ap_gone",
        "flap",
        "dead_link",
        "slow_link",
        "stale_will",
        "inject",
    }
)
ON_VIRTUAL = BY_SOFTWARE | {"power_cut"}
"""A virtual board's plug is in our hand."""

_WHY = {
    "power_cut": "no software cuts the power of a real board (a virtual one's, yes)",
    "clone": "it takes a second board with the same id",
}


def nodes_to_hang(scenario: Scenario, places: Mapping[str, Place]) -> frozenset[str]:
    """The boards that a fault `hang` may choose."""
    hangs = [fault for fault in scenario.faults if isinstance(fault, Hang)]
    return frozenset(n for n in places for fault in hangs if _may_choose(scenario, fault, n))


def check_able(scenario: Scenario, places: Mapping[str, Place]) -> None:
    """Raise EngineError, naming fault and node, for whatever of a concrete scenario boards cannot do."""
    problems = [*_faults(scenario, places), *_groups(scenario, places)]
    if problems:
        head = f"{scenario.name} cannot run on these boards; nothing was started:"
        raise EngineError("\n  ".join([head, *problems]))


def _faults(scenario: Scenario, places: Mapping[str, Place]) -> Iterator[str]:
    for index, fault in enumerate(scenario.faults):
        if not isinstance(fault, NodeFault):
            continue
        for node, place in places.items():
            able = ON_VIRTUAL if place.virtual else BY_SOFTWARE
            if fault.kind not in able and _may_choose(scenario, fault, node):
                why = _WHY.get(fault.kind, "no way is known")
                yield (
                    f"faults[{index}]: {fault.kind} cannot be done to the board {node}: {why}; "
                    "`select` other nodes, or use --target emulator"
                )
                break  # once is enough: the others are alike, or are named when this one is mended


def _may_choose(scenario: Scenario, fault: NodeFault, node: str) -> bool:
    names, groups = fault.select.names, fault.select.groups
    return (names is None or node in names) and (groups is None or scenario.nodes()[node] in groups)


def _groups(scenario: Scenario, places: Mapping[str, Place]) -> Iterator[str]:
    group_of = scenario.nodes()
    for name, group in scenario.fleet.items():
        real = [n for n, place in places.items() if group_of[n] == name and not place.virtual]
        for key in ("files", "entry", "heap"):
            if real and getattr(group, key) is not None:
                yield f"group {name}: `{key}`: the board {real[0]} runs what was deployed to it, as it is"


assert KINDS.keys() >= ON_VIRTUAL
