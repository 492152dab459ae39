"""For how long each node kept one connection: whether a broker could have given it up for its silence.

A silent node may go unnoticed for 1.5 x its keepalive [MQTT-3.1.2-24] and the broker's granularity. Who never
kept a connection for so long, or was never known to the master, puts nothing to the test.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from dcompute_sim import trace as t
from dcompute_sim.checks.check import of_kinds

_CHANGING = frozenset(
    {
        t.ConnectRead,
        t.NodeConnected,
        t.NodeConnecting,
        t.NodeDisconnected,
        t.NodeStopped,
    }
)


class LongestConnections:
    """How long each node at most kept one connection.

    Attributes:
        known: nodes that the master has heard of.
    """

    def __init__(self, trace: Sequence[t.Event]) -> None:
        self.longest_us: dict[str, int] = {}
        seen = of_kinds({t.NodeStatusSeen}, trace)
        self.known = {event.node for event in seen if isinstance(event, t.NodeStatusSeen)}
        self._trace = trace
        self._keepalive_s: dict[str, float] = {}
        self._since_us: dict[str, int] = {}
        for event in of_kinds(_CHANGING, trace):
            self._note(event)
        for node in list(self._since_us):
            self._end(node, trace[-1].t_us)

    def _note(self, event: t.Event) -> None:
        match event:
            case t.NodeConnected(node=node):
                self._end(node, event.t_us)
                self._since_us[node] = event.t_us
            case t.NodeConnecting(node=node) | t.NodeDisconnected(node=node) | t.NodeStopped(node=node):
                self._end(node, event.t_us)
            case t.ConnectRead(node=node, keepalive_s=keepalive_s):
                self._keepalive_s[node] = keepalive_s

    def long_enough(self) -> int:
        """Tell how many nodes kept one so long that a broker could have given them up for their silence."""
        trace = self._trace
        started = next((event for event in trace[:1] if isinstance(event, t.RunStarted)), None)
        coarse_s = started.broker_granularity_s if started is not None else 0.0
        return sum(
            event.node in self.known
            and self.longest_us.get(event.node, -1) > self._patience_us(event, coarse_s)
            for event in of_kinds({t.NodeDefined}, trace)
            if isinstance(event, t.NodeDefined)
        )

    def _patience_us(self, node: t.NodeDefined, coarse_s: float) -> float:
        """Return for how long nobody can give up this node for its silence."""
        keepalive_s = self._keepalive_s.get(node.node, node.keepalive_s)
        return (1.5 * keepalive_s + coarse_s) * 1e6 if keepalive_s else math.inf

    def _end(self, node: str, now_us: int) -> None:
        since_us = self._since_us.pop(node, None)
        if since_us is not None:
            self.longest_us[node] = max(self.longest_us.get(node, 0), now_us - since_us)


__all__ = ["LongestConnections"]
