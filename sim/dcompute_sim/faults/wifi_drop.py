"""Fault: a node loses its Wi-Fi."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dcompute_sim.faults.effects import DROPPED
from dcompute_sim.faults.fault import MORE_TO_SAY, UNSEEN_SILENCE, For, NodeFault, Seen, Steps
from dcompute_sim.faults.injection import Injection
from dcompute_sim.yamlfile.yaml_model import Flag


class WifiDrop(NodeFault):
    """The node loses its Wi-Fi: silence, and its WLAN says so."""

    seen = Seen.SILENCE
    effects = DROPPED
    unseen, remedy = UNSEEN_SILENCE, MORE_TO_SAY
    needs_connection = False
    colour = "#0b7285"

    kind: Literal["wifi_drop"]
    heal_after: For
    kick: Flag = Field(
        default=False,
        description="The access point says goodbye, so that the WLAN of a board knows at once; else a board "
        "notices a loss when it has missed beacons for 6 s, and one shorter than that not at all.",
    )

    def inject(self, act: Injection) -> Steps:
        act.target.silence(known=True, for_s=self.heal_after, kick=self.kick)
        return act.lasting(lambda: act.target.heal(known=True))

    def details(self) -> str:
        return "the access point says goodbye" if self.kick else ""
