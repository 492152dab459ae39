"""Fault: the master dies."""

from __future__ import annotations

from typing import Literal

from dcompute_sim.faults.effects import FIN, RST
from dcompute_sim.faults.fault import MasterFault, RestartAfter, Steps
from dcompute_sim.faults.injection import Injection


class MasterCrash(MasterFault):
    """The master's process dies."""

    effects = frozenset({FIN, RST})
    unseen, remedy = "the master had no connection", "`sure: true` waits until it has one"

    kind: Literal["master_crash"]
    restart_after: RestartAfter

    def inject(self, act: Injection) -> Steps:
        act.world.master.crash()
        return act.lasting(act.world.master.start)
