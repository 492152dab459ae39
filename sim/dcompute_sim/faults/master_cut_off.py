"""Fault: a master's link carries nothing."""

from __future__ import annotations

from typing import Literal

from dcompute_sim.faults.effects import SILENCE
from dcompute_sim.faults.fault import UNSEEN_SILENCE, For, MasterFault, Steps
from dcompute_sim.faults.injection import Injection


class MasterCutOff(MasterFault):
    """Nothing gets through to a master or from it, and nobody says so; its nodes have their broker all the
    time."""

    effects = SILENCE
    unseen = UNSEEN_SILENCE
    remedy = "work for it, a keepalive shorter than the fault, or `sure: true`"
    drawn = False  # a swarm's outages are the broker's and whole masters'

    kind: Literal["master_cut_off"]
    heal_after: For

    def inject(self, act: Injection) -> Steps:
        link = act.world.masters[self.master].link
        link.link_down(known=False)
        return act.lasting(link.link_up)
