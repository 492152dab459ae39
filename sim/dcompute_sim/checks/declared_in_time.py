"""Check: a master gives a silent node up after its bound, not before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from dcompute.parts import number_of
from dcompute_sim import trace as t
from dcompute_sim.checks.check import Check, CheckOutcome, failed, held, inconclusive, of_kinds

_OF_BOUNDS = frozenset(
    {
        t.DeathReported,
        t.MasterConnected,
        t.MasterDisconnected,
        t.MasterStarted,
        t.NodeDefined,
        t.NodeStatusSeen,
    }
)
_GRACE_S = 20.0  # for a node's reconnection
_USUAL_KEEPALIVE_S = 60.0
_ROUNDING_US = 1_000


class DeclaredInTime(Check):
    """No node is declared dead for its silence before it had its time to speak: 1.5 of its keepalives and
    20 s, or `liveness`, on one connection of the master.

    A master that gives nodes up sooner, or without a broker, names those dead, after each outage, that are
    still waiting to reconnect. That it does not take longer is judged by dead_within.

    Limit: counted from the connection on; a master may have doubted a node somewhat later.
    """

    name: ClassVar[str] = "declared_in_time"
    occasion: ClassVar[str] = "nodes that a master knows: a group under `fleet:`"

    def judge(self, trace: Sequence[t.Event]) -> CheckOutcome:
        keepalive_s: dict[str, float] = {}
        liveness_s = 0.0
        connected_us: float = math.inf
        early: list[t.Event] = []
        known: set[str] = set()
        declared = 0
        for event in of_kinds(_OF_BOUNDS, trace):
            match event:
                case t.NodeDefined(node=node):
                    keepalive_s[node] = max(1.0, round(event.keepalive_s))
                case t.MasterStarted():
                    liveness_s = event.liveness_s
                case t.MasterConnected():
                    connected_us = event.t_us
                case t.MasterDisconnected():
                    connected_us = math.inf
                case t.NodeStatusSeen(node=node):
                    known.add(node)
                case t.DeathReported(node=node, cause="silent"):
                    declared += 1
                    bound_s = liveness_s or 1.5 * keepalive_s.get(node, _USUAL_KEEPALIVE_S) + _GRACE_S
                    if event.t_us < connected_us + round(bound_s * 1e6) - _ROUNDING_US:
                        early.append(event)
        figures = {"nodes": len(known), "declared": declared, "early": len(early)}
        if early:
            told = (
                f"{len(early)} of {number_of(declared, 'node')} were given up before they "
                "had their time to speak"
            )
            return failed(told, early, figures)
        if not known:
            return inconclusive("the master never heard of a node", figures)
        return held(
            f"{declared} of {number_of(len(known), 'node')} declared dead for their silence, none early",
            figures,
        )
