"""Fault: somebody joins the access point that a board itself is."""

from __future__ import annotations

from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from dcompute_sim.faults.effects import JOINED_ITS_POINT
from dcompute_sim.faults.fault import For, NodeFault, Platform, Steps
from dcompute_sim.faults.injection import Injection

Mac = Annotated[str, StringConstraints(pattern="^[0-9a-f]{2}(:[0-9a-f]{2}){5}$")]


class StationJoins(NodeFault):
    """A telephone or computer is near, knows the board's own access point and joins it whenever that is on.

    The program sees it in `status("stations")` and `isconnected()` of its AP_IF, as long as there are no more
    than `max_clients`. It is there and has an address; it says nothing.
    """

    effects = frozenset({JOINED_ITS_POINT})
    unseen = "the board's own access point was off, or had as many stations as it takes (`max_clients`)"
    remedy = "a program that switches it on (AP_IF), or a longer `for`"
    needs_connection = False
    drawn = False
    impossible = MappingProxyType(
        {
            Platform.SIMULATED: "it has no Wi-Fi interface",
            Platform.VIRTUAL_BOARD: "its air is its user's",
            Platform.REAL_BOARD: "somebody would have to come near",
        }
    )

    kind: Literal["station"]
    mac: Mac = Field(default="0a:00:00:00:00:01", description="Its address: six pairs of hexadecimal digits.")
    heal_after: For

    def inject(self, act: Injection) -> Steps:
        mac = self.mac.replace(":", "")
        act.node.station(mac, near=True)
        return act.lasting(lambda: act.node.station(mac, near=False))

    def details(self) -> str:
        return f"{self.mac} joins its access point"
