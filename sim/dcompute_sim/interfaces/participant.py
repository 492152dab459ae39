"""Who takes part in a run. What somebody is, is said by a role, never by the spelling of a name.

Names are unique all the same, for machines, client ids and traces have nothing else. A scenario names its
nodes `<group>-<number>`, and a group may be called anything: `master`, `auditor`, `probe`, `stranger-1`. So
what the testbed adds itself has names that do not end in a number: `master`, `auditor`,
`inject.1f3a9-3-probe`. A clone's contains a `~`, which no group's may.
"""

from __future__ import annotations

from dataclasses import dataclass

from dcompute_sim.trace import Role


@dataclass(frozen=True, slots=True)
class Participant:
    """One of those who connect to the broker.

    Attributes:
        name: unique in the run; of its machine, and in the trace.
        node: the node whose id a clone uses.
    """

    role: Role
    name: str
    node: str = ""


MASTER = Participant(Role.MASTER, "master")
AUDITOR = Participant(Role.AUDITOR, "auditor")


def other_master(name: str) -> Participant:
    """Return another program of the scenario that has work done."""
    return Participant(Role.MASTER, name)


def node(name: str) -> Participant:
    """Return a node of the scenario."""
    return Participant(Role.NODE, name)


def clone(node_name: str, key: str) -> Participant:
    """Return another board with this node's id, made by a fault that draws by this key."""
    return Participant(Role.CLONE, f"{node_name}~{key}", node_name)


def probe(key: str) -> Participant:
    """Return a client that publishes what a fault of this key wants published."""
    return Participant(Role.PROBE, f"{key}-probe")
