"""What the director needs of a node, whatever kind it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from dcompute_sim.faults.injection import Victim
from dcompute_sim.scenario import Group

FIRST_RELEASE = 1


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """One node of a scenario. `node_id` differs from `name` for a clone, which has another node's id, and
    where the group gives its own.

    `mutants`: names of those it has; one that does not reach its kind changes nothing.
    """

    name: str
    node_id: str
    group_name: str
    group: Group
    namespace: str = ""
    seed: str = ""
    mutants: tuple[str, ...] = field(default=())


class Node(Victim, Protocol):
    """A node that can be switched on, and to which a person's faults can be done."""

    name: str
    group_name: str

    @property
    def running(self) -> bool:
        """Its program exists (it may hang)."""

    @property
    def connected(self) -> bool:
        """It is connected and subscribed, as far as it knows."""

    @property
    def status(self) -> str:
        """What it says of itself; "" while it does not run."""

    def close(self) -> None:
        """Leave nothing behind: the run is over."""

    def tell_memory(self) -> None:
        """Have the heap in use recorded, if this kind of node can say."""

    def counters(self) -> dict[str, int]:
        """Return its counters; empty where it has none."""
