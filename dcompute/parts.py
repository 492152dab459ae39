"""The parts of the transports that a testbed uses by themselves, or replaces by a faulty one.

A master is a link and a registry; a node is a link and a core (`dcompute.node_core`); a link makes one
session for each connection. The transports take `registry_class`, `core_class` and `link_class`; that is how
the testbed shows that its checks notice a part that misbehaves. Programs have no use for this module, and
names in it may change with any release: it is a seam, not an interface.

Loaded when asked for: a check that wants one word of the registry brings no MQTT client with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcompute._lazy import lazy

if TYPE_CHECKING:
    from dcompute._log import printable
    from dcompute._master.effects import Effect
    from dcompute._master.node_memory import NodeMemory
    from dcompute._master.node_record import DEFAULT_KEEPALIVE_S, GONE, NodeRecord
    from dcompute._master.registry import Registry
    from dcompute._mqtt.link import MqttLink
    from dcompute._mqtt.link_owner import LinkOwner, Outgoing
    from dcompute._mqtt.paho_session import PahoSession, SessionSettings
    from dcompute._node.calling import failure_of
    from dcompute._plural import noun, number_of

__all__ = [
    "DEFAULT_KEEPALIVE_S",
    "GONE",
    "Effect",
    "LinkOwner",
    "MqttLink",
    "NodeMemory",
    "NodeRecord",
    "Outgoing",
    "PahoSession",
    "Registry",
    "SessionSettings",
    "failure_of",
    "lazy",
    "noun",
    "number_of",
    "printable",
]

__getattr__ = lazy(
    globals(),
    {
        "._log": ("printable",),
        "._master.effects": ("Effect",),
        "._master.node_memory": ("NodeMemory",),
        "._master.node_record": ("DEFAULT_KEEPALIVE_S", "GONE", "NodeRecord"),
        "._master.registry": ("Registry",),
        "._mqtt.link": ("MqttLink",),
        "._mqtt.link_owner": ("LinkOwner", "Outgoing"),
        "._mqtt.paho_session": ("PahoSession", "SessionSettings"),
        "._node.calling": ("failure_of",),
        "._plural": ("noun", "number_of"),
    },
)
