"""Fault: boards hear their access points as if they stood elsewhere, or one of these has gone."""

from __future__ import annotations

from collections.abc import Collection
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import Field

from dcompute_sim.faults.effects import DROPPED, Effect
from dcompute_sim.faults.fault import For, NodeFault, Platform, Seen, Steps
from dcompute_sim.faults.injection import Injection
from dcompute_sim.yamlfile.yaml_model import Text

Rssi = Annotated[int, Field(strict=True, ge=-120, le=0)] | None

_STAYED = Effect("stayed where it was")
"""It was not on an access point that it hears no more, so there is nothing else to be seen."""


class Signal(NodeFault):
    """The board was moved, or an access point has gone: how strongly it hears each is another.

    A board whose own access point is not heard any more is silent until its WLAN, which notices after 6 s
    without beacons, has joined another one of the network, if there is one. It does not look for a better
    one while it hears its own.
    """

    seen = Seen.MAY_BREAK
    effects = DROPPED | {_STAYED}
    unseen = "the board lost its access point and nothing wanted to cross meanwhile"
    remedy = "work for the node, or a longer `for`"
    needs_connection = False
    drawn = False
    impossible = MappingProxyType(
        {
            Platform.SIMULATED: "it has no Wi-Fi interface",
            Platform.VIRTUAL_BOARD: "its air is its user's",
            Platform.REAL_BOARD: "somebody would have to carry it",
        }
    )

    kind: Literal["signal"]
    rssi: dict[Text, Rssi] = Field(
        min_length=1,
        description="What it hears, in dBm, by name of the group's `access_points`; empty: not at all.",
    )
    heal_after: For

    def inject(self, act: Injection) -> Steps:
        gone = False

        def lost() -> None:
            nonlocal gone
            gone = True
            act.target.silence(known=False, for_s=None)

        def joined() -> None:
            act.target.heal(known=False)

        def undo() -> None:
            act.node.hears(before, lost, joined)

        before = act.node.hears(self.rssi, lost, joined)
        if not gone:
            act.effect(_STAYED)
        return act.lasting(undo)

    @property
    def access_points(self) -> Collection[str]:
        return self.rssi

    def details(self) -> str:
        heard = (
            f"{name} at {dbm} dBm" if dbm is not None else f"no {name}" for name, dbm in self.rssi.items()
        )
        return f"hears {', '.join(heard)}"
