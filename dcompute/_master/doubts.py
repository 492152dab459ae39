"""Which nodes have to speak, and by when: whose life is in doubt, and who was announced by who knows whom.

Rules
1. A node in doubt is declared dead at its bound: 1.5 x the keepalive that it announced (what the broker
   itself waits) and `grace_s` for its reconnection, or `liveness_s`. What it says before ends the doubt.
2. An announcement that the node's own status does not bear out within CLAIM_S makes that the node is asked. A
   further one in that time changes what is claimed, and not when it is asked.
3. With `probe_s`, a node that has said nothing for so long is in doubt too: for masters whose broker may
   lose wills, at the far end of a bridge or in a cluster. Its cost is a question and a status for each node
   in each `probe_s`; so it is off unless asked for.

Why
* Rule 1: probing at once and judging by the answer to that one message would kill who is still waiting to
  reconnect: after an outage all nodes are in backoff, with jitter.

Rejected
* Probing living nodes regularly, as a default: while master and node have one broker, the keepalive does
  that, and costs the master nothing with a thousand nodes.
* A heap of deadlines: an outage gives all nodes theirs at once and the first words take them away again, so
  the earliest is kept instead, and may be too early; who then looks finds nothing, and the next.

Source: MQTT 3.1.1, 3.1.2.10 (1.5 x keepalive).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dcompute._master.node_record import DEFAULT_KEEPALIVE_S, GONE, NodeRecord
from dcompute.protocol import Announcement

CLAIM_S = 2.0
"""How long an announcement may wait for the status that bears it out, before the node is asked."""


class Doubts:
    """The deadlines of a master's nodes; follows the rules above.

    Args:
        liveness_s, grace_s, probe_s: as of the registry.

    Attributes:
        until: when each node in doubt is declared dead.
        claims: by node what was announced in its name, and when it is asked.
    """

    def __init__(self, liveness_s: float | None, grace_s: float, probe_s: float | None) -> None:
        self._liveness_s = liveness_s
        self._grace_s = grace_s
        self._probe_s = probe_s
        self._next_s: float | None = None  # the earliest deadline, or earlier
        self._next_probe_s: float | None = None
        self.until: dict[str, float] = {}
        self.claims: dict[str, tuple[float, Announcement]] = {}

    def link_up(self, now_s: float) -> None:
        """Nodes can be heard from now on."""
        if self._probe_s is not None:
            self._next_probe_s = now_s + self._probe_s

    def clear(self) -> None:
        """Take in that no node can be heard: none is judged."""
        self.until.clear()
        self.claims.clear()
        self._next_s = None
        self._next_probe_s = None

    def begin(self, record: NodeRecord, now_s: float) -> None:
        """Doubt that this node lives."""
        self.expect(record.node_id, now_s + self._bound_of(record))

    def expect(self, node_id: str, deadline_s: float) -> None:
        """Declare this node dead then, unless it has spoken."""
        self.until[node_id] = deadline_s
        self._wake_at(deadline_s)

    def claim(self, message: Announcement, now_s: float) -> None:
        """Take in that somebody has announced this node, in a life that its status has not named."""
        due_s = self.claims.get(message.node_id, (now_s + CLAIM_S, message))[0]
        self.claims[message.node_id] = (due_s, message)
        self._wake_at(due_s)

    def overdue(self, now_s: float) -> list[str]:
        """Return the nodes whose bound has passed."""
        return [node_id for node_id, deadline_s in self.until.items() if deadline_s <= now_s]

    def not_borne_out(self, now_s: float) -> list[str]:
        """Return, and forget, the nodes whose announcement has waited for too long."""
        late = [node_id for node_id, (due_s, _) in self.claims.items() if due_s <= now_s]
        for node_id in late:
            del self.claims[node_id]
        due = [*self.until.values(), *(due_s for due_s, _ in self.claims.values())]
        self._next_s = min(due, default=None)
        return late

    def quiet(self, records: Iterable[NodeRecord], now_s: float) -> Iterator[NodeRecord]:
        """Find, if that is due, the nodes that have said nothing for `probe_s`."""
        probe_s = self._probe_s
        if probe_s is None or self._next_probe_s is None or self._next_probe_s > now_s:
            return
        self._next_probe_s = now_s + probe_s
        for record in records:
            if record.status in GONE or record.only_announced or record.node_id in self.until:
                continue
            if record.spoke_s + probe_s <= now_s:
                yield record
            else:  # not for each by itself, lest a large fleet means a look at all of it for each
                due_s = max(record.spoke_s + probe_s, now_s + probe_s / 8)
                self._next_probe_s = min(self._next_probe_s, due_s)

    def next_s(self) -> float | None:
        """Return when somebody may be overdue, or quiet."""
        if self._next_s is None or (self._next_probe_s is not None and self._next_probe_s < self._next_s):
            return self._next_probe_s
        return self._next_s

    def _wake_at(self, deadline_s: float) -> None:
        if self._next_s is None or deadline_s < self._next_s:
            self._next_s = deadline_s

    def _bound_of(self, record: NodeRecord) -> float:
        if self._liveness_s is not None:
            return self._liveness_s
        keepalive = record.capabilities.get("keepalive", DEFAULT_KEEPALIVE_S)
        if (
            isinstance(keepalive, bool)
            or not isinstance(keepalive, (int, float))
            or not 0 < keepalive < 65536
        ):
            keepalive = DEFAULT_KEEPALIVE_S
        return 1.5 * float(keepalive) + self._grace_s


__all__ = ["CLAIM_S", "Doubts"]
