"""Mutants: participants with one known fault each, to see that the checks notice.

A run has them in every node and master that they reach (`--mutant no-will`), or in one group
(`variant: no-will`). Production code knows nothing of them. Each is one file here, found by itself:

    from dcompute_sim.mutants.catalogue import Edit, register

    class _NoWill(ComputeNodeTransport):          # reaches python nodes: a mixin over a production class
        \"\"\"Nobody is told when a node dies.\"\"\"
        ...

    register("no-will", _NoWill, Edit("link.py", "client.set_last_will(", "str("))   # and our firmware

A few are no faults but circumstances that a good node or master has to bear; their description says so.
"""

from __future__ import annotations

from dcompute_sim.mutants.catalogue import (
    MUTANTS,
    Edit,
    Mutant,
    MutantError,
    check_names,
    check_reach,
    register,
)

MUTANTS.discover(__name__, __path__)

__all__ = ["MUTANTS", "Edit", "Mutant", "MutantError", "check_names", "check_reach", "register"]
