"""Fault: a node loses its Wi-Fi."""

from __future__ import annotations

from typing import Literal

from dcompute_sim.faults.effects import SILENCE
from dcompute_sim.faults.fault import For, NodeFault, Seen, Steps
from dcompute_sim.faults.injection import Injection


class WifiDrop(NodeFault):
    """The node loses its Wi-Fi: silence, and its WLAN says so."""

    seen = Seen.SILENCE
    effects = SILENCE
    needs_connection = False
    colour = "#0b7285"

    kind: Literal["wifi_drop"]
    heal_after: For

    def inject(self, act: Injection) -> Steps:
        act.target.silence(known=True, for_s=self.heal_after)
        return act.lasting(lambda: act.target.heal(known=True))
