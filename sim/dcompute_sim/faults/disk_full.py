"""Fault: what a master has to write down it cannot."""

from __future__ import annotations

from typing import Final, Literal

from dcompute_sim.faults.effects import Effect
from dcompute_sim.faults.fault import For, MasterFault, Steps
from dcompute_sim.faults.injection import Injection

UNWRITTEN: Final = Effect("a write was refused")


class DiskFull(MasterFault):
    """The disk of a master is full: its executor's journal can be read, and not written."""

    effects = frozenset({UNWRITTEN})
    unseen = "nothing was written while it lasted, or there is no journal"
    remedy = "work for the master's executor, or `sure: true`"
    drawn = False  # a swarm's masters lose their journals as they crash

    kind: Literal["disk_full"]
    heal_after: For

    def inject(self, act: Injection) -> Steps:
        master = act.world.masters[self.master]
        master.fill_disk(lambda: act.receipts.effect(self.master, UNWRITTEN, of=act.name))
        return act.lasting(lambda: master.fill_disk(None))
