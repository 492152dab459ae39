"""Fault: the program stands still."""

from __future__ import annotations

from typing import Literal

from dcompute_sim.faults.effects import CLOSED_BY_BROKER, WITHHELD
from dcompute_sim.faults.fault import MORE_TO_SAY, For, NodeFault, Seen, Steps
from dcompute_sim.faults.injection import Injection


class Hang(NodeFault):
    """The program stands still; its connection stays open and silent."""

    seen = Seen.SILENCE
    effects = frozenset({WITHHELD, CLOSED_BY_BROKER})
    unseen, remedy = "its program had nothing to do meanwhile", MORE_TO_SAY
    needs_connection = False
    needs_hooks = True
    colour = "#5d4037"

    kind: Literal["hang"]
    heal_after: For

    def inject(self, act: Injection) -> Steps:
        act.node.hang(self.heal_after)
        yield act.time_up()
        yield from act.until_felt()
        act.node.resume()  # first: some know only then whether they had anything to withhold
        act.ended()
