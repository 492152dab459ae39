"""What the master believes."""

from __future__ import annotations

from dcompute.parts import DEFAULT_KEEPALIVE_S, GONE, Effect, NodeRecord, Registry
from dcompute.protocol import Message, ResultMessage
from dcompute_sim.mutants.catalogue import register


class _IgnoreIncarnation(Registry):
    """The master believes a `dead` of any connection, however old."""

    def _is_stale(self, record: NodeRecord, inc: str) -> bool:
        return False


class _NoLiveness(Registry):
    """After an outage the master believes what it believed before, for ever."""

    def _doubt(self, record: NodeRecord, now_s: float) -> list[Effect]:
        return []


class _AcceptRepeats(Registry):
    """A result that comes twice counts twice."""

    def _why_ignored(self, message: ResultMessage, retained: bool) -> str:
        reason = super()._why_ignored(message, retained)
        return "" if reason == "duplicate" else reason


class _ImpatientMaster(Registry):
    """Takes a node for dead that has not spoken for three keepalives, though the broker says nothing."""

    def receive(self, message: Message, *, retained: bool, now_s: float, wall_s: float) -> list[Effect]:
        effects = super().receive(message, retained=retained, now_s=now_s, wall_s=wall_s)
        record = self._nodes.get(message.node_id)
        if record is not None and record.status not in GONE:
            keepalive_s = float(record.capabilities.get("keepalive", DEFAULT_KEEPALIVE_S))
            self._doubts.expect(record.node_id, now_s + 3 * keepalive_s)
        return effects


class _TrustsTimestamps(Registry):
    """Drops results that are more than an hour old by the node's own clock."""

    _now_s = 0.0

    def receive(self, message: Message, *, retained: bool, now_s: float, wall_s: float) -> list[Effect]:
        self._now_s = wall_s
        return super().receive(message, retained=retained, now_s=now_s, wall_s=wall_s)

    def _why_ignored(self, message: ResultMessage, retained: bool) -> str:
        if message.timestamp is not None and self._now_s - message.timestamp > 3600:
            return "too old"
        return super()._why_ignored(message, retained)


register("ignore-incarnation", _IgnoreIncarnation)
register("no-liveness", _NoLiveness)
register("accept-repeats", _AcceptRepeats)
register("impatient-master", _ImpatientMaster)
register("trusts-timestamps", _TrustsTimestamps)
