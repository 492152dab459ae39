"""Names of nodes in a scenario, and their ids on the wire, which a group may give its own.

Whatever stands between the director and the master speaks of names; only what goes to the transport or the
executor, or comes from them, has ids (`master_program`, `executor_program`, `public_api`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from dcompute.events import ExecutorEvent, MasterEvent

Event = TypeVar("Event", bound=MasterEvent | ExecutorEvent)


class NodeIds:
    """Translates both ways.

    Args:
        ids: name -> id of every node.
    """

    def __init__(self, ids: Mapping[str, str]) -> None:
        self._ids = {name: node_id for name, node_id in ids.items() if name != node_id}
        self._names = {node_id: name for name, node_id in self._ids.items()}

    def id_of(self, name: str) -> str:
        """Return the id of the node that a scenario calls `name`."""
        return self._ids.get(name, name)

    def name_of(self, node_id: str) -> str:
        """Return the name of the node with this id; of one that is not the scenario's, its id."""
        return self._names.get(node_id, node_id)

    def renamed(self, event: Event) -> Event:
        """Return the same event, about a name."""
        if not self._names:  # as in most runs, and this is asked of each event
            return event
        node = getattr(event, "node", None)
        if node is None or node not in self._names:
            return event
        about: Any = event
        return replace(about, node=self._names[node])  # type: ignore[no-any-return]
