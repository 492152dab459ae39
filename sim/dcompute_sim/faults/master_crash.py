"""Fault: a master dies."""

from __future__ import annotations

import random
from typing import Literal

from pydantic import Field

from dcompute_sim.faults.effects import FIN, RST
from dcompute_sim.faults.fault import MasterFault, RestartAfter, Steps
from dcompute_sim.faults.injection import Injection


class MasterCrash(MasterFault):
    """A master's process dies. What its executor was asked for is in the journal, if that is kept."""

    effects = frozenset({FIN, RST})
    unseen, remedy = "the master had no connection", "`sure: true` waits until it has one"

    kind: Literal["master_crash"]
    restart_after: RestartAfter
    journal: Literal["kept", "lost"] = Field(
        default="kept", description="Whether its journal is there when it is started again."
    )

    @classmethod
    def draw(cls, rng: random.Random, left_s: float) -> dict[str, object]:
        return {"journal": rng.choice(["kept", "kept", "lost"])}

    def inject(self, act: Injection) -> Steps:
        master = act.world.masters[self.master]
        master.crash(lose_journal=self.journal == "lost")
        return act.lasting(master.start)
