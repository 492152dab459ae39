"""The last will."""

from __future__ import annotations

from dcompute.node_transport import ComputeNodeTransport
from dcompute.parts import Outgoing
from dcompute_sim.mutants.catalogue import Edit, register


class _NoWill(ComputeNodeTransport):
    """Nodes connect without a last will: nobody is told when they die."""

    def link_will(self) -> Outgoing | None:
        super().link_will()
        return None


register(
    "no-will",
    _NoWill,
    Edit("link.py", "client.set_last_will(topic, payload, retain, 1)", "client.lw_topic = None"),
)
