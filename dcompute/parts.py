"""The parts of the transports that a testbed uses by themselves, or replaces by a faulty one.

A master is a link and a registry; a node is a link and a core (`dcompute.node_core`); a link makes one
session for each connection. The transports take `registry_class`, `core_class` and `link_class`; that is how
the testbed shows that its checks notice a part that misbehaves. Programs have no use for this module, and
names in it may change with any release: it is a seam, not an interface.
"""

from dcompute._master.effects import Effect
from dcompute._master.registry import DEFAULT_KEEPALIVE_S, GONE, NodeRecord, Registry
from dcompute._mqtt.link import LinkOwner, MqttLink, Outgoing
from dcompute._mqtt.paho_session import PahoSession, SessionSettings

__all__ = [
    "DEFAULT_KEEPALIVE_S",
    "GONE",
    "Effect",
    "LinkOwner",
    "MqttLink",
    "NodeRecord",
    "Outgoing",
    "PahoSession",
    "Registry",
    "SessionSettings",
]
