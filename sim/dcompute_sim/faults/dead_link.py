"""Fault: nothing gets through, and nobody says so."""

from __future__ import annotations

from typing import Literal

from dcompute_sim.faults.effects import DROPPED
from dcompute_sim.faults.fault import MORE_TO_SAY, UNSEEN_SILENCE, For, NodeFault, Seen, Steps
from dcompute_sim.faults.injection import Injection


class DeadLink(NodeFault):
    """Nothing gets through, yet the WLAN still says connected."""

    seen = Seen.SILENCE
    effects = DROPPED
    unseen, remedy = UNSEEN_SILENCE, MORE_TO_SAY
    needs_connection = False
    colour = "#5f6b13"

    kind: Literal["dead_link"]
    heal_after: For

    def inject(self, act: Injection) -> Steps:
        act.target.silence(known=False, for_s=self.heal_after)
        return act.lasting(lambda: act.target.heal(known=False))
