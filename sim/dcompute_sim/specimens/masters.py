"""Masters."""

from __future__ import annotations

from dcompute.parts import DEFAULT_KEEPALIVE_S, GONE, Effect, Registry
from dcompute.protocol import Message, ResultMessage


class ImpatientMaster(Registry):
    """Takes a node for dead that has not spoken for three keepalives, though the broker says nothing."""

    def receive(self, message: Message, *, retained: bool, now_s: float, wall_s: float) -> list[Effect]:
        effects = super().receive(message, retained=retained, now_s=now_s, wall_s=wall_s)
        record = self._nodes.get(message.node_id)
        if record is not None and record.status not in GONE:
            keepalive_s = float(record.capabilities.get("keepalive", DEFAULT_KEEPALIVE_S))
            self._unverified[record.node_id] = now_s + 3 * keepalive_s
            self._next_deadline_s = min(self._unverified.values())
        return effects


class TrustsTimestamps(Registry):
    """Drops results that are more than an hour old by the node's own clock."""

    _now_s = 0.0

    def receive(self, message: Message, *, retained: bool, now_s: float, wall_s: float) -> list[Effect]:
        self._now_s = wall_s
        return super().receive(message, retained=retained, now_s=now_s, wall_s=wall_s)

    def _why_ignored(self, message: ResultMessage, retained: bool) -> str:
        if message.timestamp is not None and self._now_s - message.timestamp > 3600:
            return "too old"
        return super()._why_ignored(message, retained)
