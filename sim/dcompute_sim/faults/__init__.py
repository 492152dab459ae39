"""What goes wrong: one file a kind of fault, found by its being here.

A fault is what a person could do to a board, a broker or a master (docs/scenario-reference.md has the table).
What a kind consists of is in `fault`; what it may use, in `injection`; when it strikes, and whom, in
`schedule`; the words of receipts, in `effects`.
"""

from __future__ import annotations

from dcompute_sim.faults.fault import KINDS, AnyFault, BrokerFault, Fault, MasterFault, NodeFault, kind_of

KINDS.discover(__name__, __path__)


def node_faults() -> list[str]:
    """Return the kinds that are done to nodes, by name."""
    return [name for name, cls in KINDS.items() if issubclass(cls, NodeFault)]


__all__ = ["KINDS", "AnyFault", "BrokerFault", "Fault", "MasterFault", "NodeFault", "kind_of", "node_faults"]
