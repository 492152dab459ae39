"""Who is who in a trace."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum

from dcompute_sim.trace.event import Event


class Role(StrEnum):
    """What somebody is who connects to the broker."""

    NODE = "node"
    CLONE = "clone"
    PROBE = "probe client"
    MASTER = "master"
    AUDITOR = "auditor"


class ParticipantDefined(Event, frozen=True):
    """Somebody else than a node of the scenario takes part under this name. `node`: whose id a clone has."""

    name: str
    role: Role
    node: str = ""


class Participants:
    """Who has been defined so far; what nobody defined is a node of the scenario."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self._others: dict[str, ParticipantDefined] = {}
        for event in events:
            if type(event) is ParticipantDefined:
                self.add(event)

    def add(self, event: ParticipantDefined) -> None:
        """Take in a definition."""
        self._others[event.name] = event

    def role(self, name: str) -> Role:
        """Return what `name` is."""
        other = self._others.get(name)
        return Role.NODE if other is None else other.role

    def clones(self) -> Iterator[tuple[str, str]]:
        """Yield each clone, with the node whose id it uses."""
        return ((name, other.node) for name, other in self._others.items() if other.node)

    def owner(self, name: str) -> str:
        """Return the node whose id `name` uses: a clone's original, else itself."""
        other = self._others.get(name)
        return name if other is None or not other.node else other.node
