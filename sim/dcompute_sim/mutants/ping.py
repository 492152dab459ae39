"""Pings."""

from __future__ import annotations

from dcompute.parts import MqttLink
from dcompute_sim.mutants.catalogue import Edit, register


class _NoPing(MqttLink):
    """Nodes never ping: an idle one looks dead to the broker, and a dead link alive to the node."""

    def _check(self) -> None:
        pass


register(
    "no-ping",
    _NoPing,
    Edit(
        "mqtt_client.py",
        "return self.keepalive * 500 - max(heard_ms, sent_ms)",
        "return 3600000",
    ),
)
