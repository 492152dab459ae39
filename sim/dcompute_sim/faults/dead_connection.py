"""Fault: whatever stands between node and broker forgets a connection."""

from __future__ import annotations

from typing import Literal

from dcompute_sim.faults.effects import DROPPED
from dcompute_sim.faults.fault import MORE_TO_SAY, UNSEEN_SILENCE, NodeFault, Seen, Steps
from dcompute_sim.faults.injection import LOOK_S, Injection


class DeadConnection(NodeFault):
    """The node's connection carries nothing any more, for good, and nobody says so; new ones work.

    A NAT or firewall that has forgotten it, or was replaced. Over when the node has given it up.
    """

    seen = Seen.SILENCE
    momentary = True
    effects = DROPPED
    unseen, remedy = UNSEEN_SILENCE, MORE_TO_SAY
    drawn = False

    kind: Literal["dead_connection"]

    def inject(self, act: Injection) -> Steps:
        is_held = act.link.forget_connections()
        while is_held() and act.env.now < act.over_s:
            yield act.env.timeout(LOOK_S)
        act.ended()
