"""The parts of the transports that a testbed uses by themselves, or replaces by a faulty one.

A master is a link and a registry; a node is a link and a core (`dcompute.node_core`); a link makes one
session for each connection. The transports take `registry_class`, `core_class` and `link_class`; that is how
the testbed shows that its checks notice a part that misbehaves. Programs have no use for this module, and
names in it may change with any release: it is a seam, not an interface.

Loaded when asked for: a check that wants one word of the registry brings no MQTT client with it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dcompute._log import printable
    from dcompute._master.effects import Effect
    from dcompute._master.node_record import DEFAULT_KEEPALIVE_S, GONE, NodeRecord
    from dcompute._master.registry import Registry
    from dcompute._mqtt.link import MqttLink
    from dcompute._mqtt.link_owner import LinkOwner, Outgoing
    from dcompute._mqtt.paho_session import PahoSession, SessionSettings
    from dcompute._plural import noun, number_of

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
    "noun",
    "number_of",
    "printable",
]

_HOME = {
    "Effect": "_master.effects",
    **dict.fromkeys(("DEFAULT_KEEPALIVE_S", "GONE", "NodeRecord"), "_master.node_record"),
    "Registry": "_master.registry",
    "MqttLink": "_mqtt.link",
    **dict.fromkeys(("LinkOwner", "Outgoing"), "_mqtt.link_owner"),
    **dict.fromkeys(("PahoSession", "SessionSettings"), "_mqtt.paho_session"),
    **dict.fromkeys(("noun", "number_of"), "_plural"),
    "printable": "_log",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"dcompute.{_HOME[name]}"), name)
    globals()[name] = value
    return value
