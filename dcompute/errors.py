"""What the transports raise beside ValueError (an argument that no message could carry) and RuntimeError."""

from __future__ import annotations


class NodeUnavailable(LookupError):
    """A task cannot be given to this node now."""


class UnknownNode(NodeUnavailable):
    """No node of this id has announced itself."""


class DeadNode(NodeUnavailable):
    """The node is dead or offline."""


class Backlogged(RuntimeError):
    """Too many tasks wait for the broker: nothing was sent, try again later."""


__all__ = ["Backlogged", "DeadNode", "NodeUnavailable", "UnknownNode"]
