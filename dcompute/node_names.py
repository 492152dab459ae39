"""What nodes and namespaces may be called.

A file of its own, imported where a name is checked: a board does that once, at its start, and then has it no
longer in its heap.
"""

try:  # absent on MicroPython, which does not evaluate annotations
    from typing import Any
except ImportError:
    pass

MAX_ID_CHARS = 64
ID_CHARS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:-"
RESERVED_IDS = ("initialisation", "results", "updates")


def check_node_id(node_id: "Any") -> str:
    """Return `node_id` if it can be a node's id, else raise ValueError saying why.

    It is an MQTT topic level and a client id: 1 to 64 characters of A-Z a-z 0-9 _ . : - only.
    """
    if not isinstance(node_id, str) or not node_id:
        raise ValueError("node id must be a non-empty string, not %r" % (node_id,))
    if len(node_id) > MAX_ID_CHARS:
        raise ValueError("node id is longer than %d characters: %s..." % (MAX_ID_CHARS, node_id[:20]))
    if node_id in RESERVED_IDS:
        raise ValueError("node id %r is the name of a topic of the protocol" % node_id)
    if node_id.strip(ID_CHARS):  # something is left that is not allowed
        raise ValueError("node id %r: only A-Z a-z 0-9 _ . : - may stand in it" % node_id)
    return node_id


def check_namespace(namespace: str) -> str:
    """Return `namespace` (levels like node ids, joined by slashes; "" for none) or raise ValueError."""
    if namespace:
        for level in namespace.split("/"):
            check_node_id(level)
    return namespace
