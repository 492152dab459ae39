"""Fault: the broker goes away."""

from __future__ import annotations

from typing import Literal

from dcompute_sim.faults.effects import FIN, REFUSED, RST
from dcompute_sim.faults.fault import BrokerFault, For, Steps
from dcompute_sim.faults.injection import Injection


class BrokerStop(BrokerFault):
    """The broker goes away, and comes back with its memory after `for`."""

    effects = frozenset({FIN, RST, REFUSED})
    unseen = "nobody had a connection to it, nor tried to make one"

    kind: Literal["broker_stop"]
    heal_after: For

    def inject(self, act: Injection) -> Steps:
        return act.broker_away(keep_memory=True)
