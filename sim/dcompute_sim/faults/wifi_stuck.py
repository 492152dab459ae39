"""Fault: a board's Wi-Fi interface hangs."""

from __future__ import annotations

from types import MappingProxyType
from typing import Literal

from pydantic import Field

from dcompute_sim.faults.effects import DROPPED
from dcompute_sim.faults.fault import MORE_TO_SAY, UNSEEN_SILENCE, NodeFault, Platform, Seen, Steps
from dcompute_sim.faults.injection import LOOK_S, HowStuck, Injection

_WHY = "its own driver would have to hang"


class WifiStuck(NodeFault):
    """The board loses its Wi-Fi, and its interface joins no network until the program starts it afresh.

    Over when the program has done so (`active(False)`), or the board was reset.
    """

    seen = Seen.SILENCE
    momentary = True
    effects = DROPPED
    unseen, remedy = UNSEEN_SILENCE, MORE_TO_SAY
    needs_connection = False
    drawn = False
    impossible = MappingProxyType(
        {
            Platform.SIMULATED: "it has no Wi-Fi interface",
            Platform.VIRTUAL_BOARD: _WHY,
            Platform.REAL_BOARD: _WHY,
        }
    )

    kind: Literal["wifi_stuck"]
    how: HowStuck = Field(
        default="silent",
        description="`silent`: every attempt to join fails, and `status()` says so. `raises`: `connect()` "
        'raises `OSError("Wifi Internal State Error")`.',
    )

    def inject(self, act: Injection) -> Steps:
        is_stuck = act.node.wifi_stuck(self.how)
        act.target.silence(known=False, for_s=None)
        while is_stuck() and act.env.now < act.over_s:
            yield act.env.timeout(LOOK_S)
        act.target.heal(known=False)
        act.ended()

    def details(self) -> str:
        return f"how: {self.how}"
