"""Fault: the connection is reset."""

from __future__ import annotations

from typing import Literal

from dcompute_sim.faults.effects import RST
from dcompute_sim.faults.fault import NodeFault, Seen, Steps
from dcompute_sim.faults.injection import Injection


class Reset(NodeFault):
    """The connection is reset (RST); the node may connect again at once."""

    seen = Seen.CLOSED
    momentary = True
    effects = frozenset({RST})
    colour = "#e0712c"

    kind: Literal["reset"]

    def inject(self, act: Injection) -> Steps:
        act.link.reset_connections()
        yield act.env.timeout(0)
