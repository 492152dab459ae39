"""Whether what is sent to nodes comes to anything: denial, noticed by what does not come back.

MQTT 3.1.1 has no word for denial: a broker acknowledges what its access rules forbid, and drops it. So

1. a node that was given work and has never answered any, over this connection, is asked how it is (`init`)
   after HEARD_S. If it says nothing, what is sent to it does not arrive; if it says that it is idle, its
   answers do not. One that is at work is asked again later.
2. A node that has announced itself owes its status. If that does not come for HEARD_S, it is kept from its
   topic, or nobody's announcement.

One answer settles it for the connection: rules are of users and topics, not of messages. It stays a
suspicion, in words: a program may hang for long, or answer nothing on purpose.
"""

from __future__ import annotations

from dcompute.node_core import CONNECTED, READY
from dcompute.protocol import HEARD_S

_ASK = " (`dcompute broker check` asks the broker)"


class Unanswered:
    """The nodes that owe an answer, or a status.

    Attributes:
        next_s: when `tick` may have something to do.
    """

    def __init__(self) -> None:
        self._due: dict[str, float] = {}  # when each is asked, or suspected
        self.next_s: float | None = None  # the earliest of these, or earlier
        self._asked: set[str] = set()
        self._announced: set[str] = set()
        self._answering: set[str] = set()
        self._suspected: dict[str, str] = {}

    def given(self, node_id: str, now_s: float) -> None:
        """Take in that the node was given work."""
        if node_id not in self._answering:
            self._owes(node_id, now_s)

    def announced(self, node_id: str, now_s: float) -> None:
        """Take in that the node has announced itself, and never told a status."""
        self._announced.add(node_id)
        self._owes(node_id, now_s)

    def answered(self, node_id: str) -> None:
        """Take in that the node has answered some work."""
        if node_id not in self._answering:
            self._answering.add(node_id)
            self.forget(node_id)

    def told(self, node_id: str, status: str, now_s: float) -> str:
        """Take in that the node's status has come; returns what is suspected of it now, or ""."""
        if node_id in self._announced:
            self.forget(node_id)
        if node_id not in self._asked:
            return ""
        self._asked.discard(node_id)
        if status not in (READY, CONNECTED):
            del self._due[node_id]
            self._owes(node_id, now_s)
            return ""
        del self._due[node_id]
        return self._suspect(
            node_id,
            f"{node_id} was given work, says that it is {status!r} and has not answered: do the broker's "
            f"access rules keep it from writing its results, or this user from reading them?{_ASK}",
        )

    def forget(self, node_id: str) -> None:
        """Take in that the node owes nothing, or is gone."""
        self._due.pop(node_id, None)
        self._suspected.pop(node_id, None)
        self._asked.discard(node_id)
        self._announced.discard(node_id)

    def clear(self) -> None:
        """Begin another connection: answers that came over the last one say nothing of rights on it."""
        for table in (self._due, self._asked, self._announced, self._answering, self._suspected):
            table.clear()
        self.next_s = None

    def tick(self, now_s: float) -> tuple[list[str], list[str]]:
        """Time has passed: the nodes to be asked, and what is suspected now."""
        if self.next_s is None or now_s < self.next_s:
            return [], []
        ask: list[str] = []
        suspected: list[str] = []
        for node_id in [node_id for node_id, due_s in self._due.items() if due_s <= now_s]:
            if node_id not in self._asked | self._announced:
                self._asked.add(node_id)
                self._due[node_id] = now_s + HEARD_S
                ask.append(node_id)
                continue
            what = (
                f"{node_id} has announced itself, but its status does not come: do the broker's access rules "
                f"keep it from that, or does somebody make it up?{_ASK}"
                if node_id in self._announced
                else f"{node_id} was given work and then asked, and has said nothing: does it hang, or do "
                f"the broker's access rules keep this user from writing to it?{_ASK}"
            )
            del self._due[node_id]
            suspected.append(self._suspect(node_id, what))
        self.next_s = min(self._due.values(), default=None)
        return ask, suspected

    def suspicion(self) -> str:
        """Return the oldest that still stands, or ""."""
        return next(iter(self._suspected.values()), "")

    def _owes(self, node_id: str, now_s: float) -> None:
        due_s = self._due.setdefault(node_id, now_s + HEARD_S)
        self.next_s = due_s if self.next_s is None else min(self.next_s, due_s)

    def _suspect(self, node_id: str, what: str) -> str:
        self._suspected[node_id] = what
        return what
