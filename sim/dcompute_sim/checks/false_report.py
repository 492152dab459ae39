"""A false report of a death, looked into: whether the testbed is to blame, and what most likely made it.

Rules:

1. A false report is told with what the trace knows of its making, so that somebody can act on it
   (`suspicion`): it decides nothing.
2. Where the testbed itself stood still so long that a broker may have lost patience with whoever it serves,
   a report is undecided (`lag`): no fault of the run explains it, and nobody else is to blame. But a node
   that said nothing for more than a keepalive in which it had its turns is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dcompute_sim import trace as t
from dcompute_sim.checks.lives import ALMOST, NodeLives
from dcompute_sim.checks.own_time import Lag


@dataclass(slots=True)
class FalseReport:
    """A report without a cause. What its wire tells of it may come later, so it is looked into at the end."""

    report: t.DeathReported
    node: NodeLives
    inc: str
    is_stale: bool
    ended: str = ""  # of what its program had ended by then
    rivals: str = ""  # whose one node id it and others have, in words

    def lag(self, lags: Sequence[Lag], grace_us: int) -> Lag | None:
        """Return the testbed's own standstill that may have made the broker lose patience and close; None if
        a node that had been served all the while would have been given up as well."""
        closing, keepalive_us = self.node.closings.get(self.inc), self.node.keepalive_s * 1e6
        if closing is None or self.is_stale:
            return None
        spoke_us = closing.t_us - closing.quiet_us
        served_us = closing.quiet_us - sum(
            max(0, min(lag.until_us, closing.t_us) - max(lag.since_us, spoke_us)) for lag in lags
        )
        if served_us > keepalive_us:  # it had its turns, and sent no ping
            return None
        for lag in lags:
            lost_patience_us = lag.since_us + self.node.half_us()
            is_over = self.report.t_us > lag.until_us + grace_us
            if lost_patience_us <= min(lag.until_us, self.report.t_us) and not is_over:
                return lag
        return None

    def suspicion(self) -> str:
        """Return what most likely made it, in words that somebody can act on."""
        node = self.node
        closing = node.closings.get(self.inc)
        if self.report.cause == "silent":
            return "the master itself gave it up: it said nothing for `liveness` after an outage"
        if self.rivals:
            return self.rivals
        if self.inc not in node.lives:
            return (
                "its `dead` names a connection that nobody saw: an old retained message, or somebody else's"
            )
        if self.is_stale and self.inc in node.said_gone:
            said = node.said_gone[self.inc]
            return (
                f"{said.who} published the `{said.status}` of an older connection after its successor had "
                "spoken: the master took it for news, although its `inc` is not the newest"
            )
        if self.is_stale:
            return (
                "the will of an older connection came after its successor had spoken: "
                "another client id at each connection, or a second board with this id"
            )
        if self.inc in node.taken_by:
            return f"{node.taken_by[self.inc]} connected under the same client id, `{node.client_id}`"
        if self.ended:
            return f"its program had ended: {self.ended}"
        if closing is None:
            return "nobody had closed its connection: somebody else published `dead` in its name"
        quiet_s = closing.quiet_us / 1e6
        if node.keepalive_s and quiet_s >= ALMOST * 1.5 * node.keepalive_s:
            return (
                f"nothing was sent for {quiet_s:.0f} s at a keepalive of {node.keepalive_s:g} s: no PINGREQ"
            )
        return (
            f"the broker closed its connection {quiet_s:.1f} s after its last word: a packet or a size that "
            "it refuses, or a second client with this id"
        )


__all__ = ["FalseReport"]
