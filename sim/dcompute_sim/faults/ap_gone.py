"""Fault: an access point goes away, and with it the Wi-Fi of all its nodes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dcompute_sim.faults.effects import DROPPED
from dcompute_sim.faults.fault import MORE_TO_SAY, UNSEEN_SILENCE, For, NodeFault, Seen, Steps
from dcompute_sim.faults.injection import Injection
from dcompute_sim.faults.schedule import Select


class ApGone(NodeFault):
    """The access point goes away: all its nodes lose their Wi-Fi together and find no network."""

    seen = Seen.SILENCE
    effects = DROPPED
    unseen, remedy = UNSEEN_SILENCE, MORE_TO_SAY
    needs_connection = False
    wide = True

    kind: Literal["ap_gone"]
    select: Select = Field(
        default=Select(count="all"), description="The nodes on this access point; all when left out."
    )
    heal_after: For

    def inject(self, act: Injection) -> Steps:
        act.target.silence(known=True, for_s=self.heal_after)
        return act.lasting(lambda: act.target.heal(known=True))
