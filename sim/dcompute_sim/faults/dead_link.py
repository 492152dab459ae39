"""Fault: nothing gets through, and nobody says so."""

from __future__ import annotations

from typing import Literal

from dcompute_sim.faults.effects import SILENCE
from dcompute_sim.faults.fault import For, NodeFault, Seen, Steps
from dcompute_sim.faults.injection import Injection


class DeadLink(NodeFault):
    """Nothing gets through, yet the WLAN still says connected."""

    seen = Seen.SILENCE
    effects = SILENCE
    needs_connection = False
    colour = "#5f6b13"

    kind: Literal["dead_link"]
    heal_after: For

    def inject(self, act: Injection) -> Steps:
        act.target.silence(known=False, for_s=self.heal_after)
        return act.lasting(lambda: act.target.heal(known=False))
