"""Fault: a second node with the same id."""

from __future__ import annotations

from types import MappingProxyType
from typing import Literal

from dcompute_sim.faults.effects import CLOSED_BY_BROKER
from dcompute_sim.faults.fault import For, NodeFault, Platform, Seen, Steps
from dcompute_sim.faults.injection import Injection

_WHY = "it takes a second board with the same id"


class Clone(NodeFault):
    """A second node with the same id is switched on, as when two boards got one config."""

    seen = Seen.MAY_BREAK
    effects = frozenset({CLOSED_BY_BROKER})
    unseen = "the broker closed the connection of neither"
    remedy = "a longer `for`, or `sure: true`"
    needs_connection = False
    impossible = MappingProxyType({Platform.VIRTUAL_BOARD: _WHY, Platform.REAL_BOARD: _WHY})

    kind: Literal["clone"]
    heal_after: For

    def inject(self, act: Injection) -> Steps:
        clone = yield from act.world.double(act.target.name, act.name, act.key)
        clone.power_on()
        yield from act.lasting(clone.crash)
