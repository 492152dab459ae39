"""The master's state machine: which nodes there are, which incarnation each is, who died, what results came.

Plain code: messages and times go in, effects come out. It never raises for anything a network can send, has
no clock and no lock (the transport around it has one). Times: `now_s` is monotonic, `wall_s` seconds since
1970.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from dcompute.node_core import CONNECTED, DEAD, OFFLINE
from dcompute.protocol import Announcement, Message, ResultMessage, StatusCleared, StatusMessage

GONE = (DEAD, OFFLINE)
DEFAULT_KEEPALIVE_S = 60.0


@dataclass(frozen=True, slots=True)
class NodeChanged:
    """The record of a node changed (new status or new incarnation)."""

    node_id: str
    status: str
    inc: str


@dataclass(frozen=True, slots=True)
class NodeDied:
    """Tell the dead-nodes callback. `cause`: will, offline (graceful) or silent (found by the master)."""

    node_id: str
    inc: str
    cause: str


@dataclass(frozen=True, slots=True)
class StaleDeath:
    """A `dead` of an incarnation that is not the node's current one was ignored."""

    node_id: str
    inc: str


@dataclass(frozen=True, slots=True)
class Probe:
    """Ask this node to speak: what is known of it was read from a retained message or before an outage."""

    node_id: str


@dataclass(frozen=True, slots=True)
class DeclareDead:
    """Publish a retained `dead` in this node's place: it fell silent when no broker could send its will."""

    node_id: str
    inc: str


@dataclass(frozen=True, slots=True)
class ResultAccepted:
    node_id: str
    task_id: str | None
    result: Any


@dataclass(frozen=True, slots=True)
class ResultIgnored:
    """A repeat, or an old node's retained result. `reason`: duplicate, retained or forgotten."""

    node_id: str
    task_id: str | None
    reason: str


Effect = NodeChanged | NodeDied | StaleDeath | Probe | DeclareDead | ResultAccepted | ResultIgnored


_IMMUTABLE = (str, int, float, type(None))  # of the JSON values


@dataclass(slots=True)
class NodeRecord:
    """What the master believes of one node."""

    node_id: str
    status: str
    device_type: str = ""
    last_seen: float = 0.0
    inc: str = ""
    capabilities: dict[str, Any] = field(default_factory=dict)
    death_reported: bool = False  # for the present incarnation
    heard: bool = False  # its status came live over the present connection
    declared_inc: str | None = None  # our own declaration of death for it will come back to us

    def public(self) -> dict[str, Any]:
        """A copy for callers, who may change it freely."""
        return {
            "node_id": self.node_id,
            "status": self.status,
            "device_type": self.device_type,
            "last_seen": self.last_seen,
            "inc": self.inc,
            "capabilities": {
                key: value if isinstance(value, _IMMUTABLE) else deepcopy(value)
                for key, value in self.capabilities.items()
            },
        }


class Registry:
    """See the module's head.

    Args:
        liveness_s: how long after an outage an unverified node may stay silent before it is declared dead;
            None takes 1.5 x the keepalive the node announced (60 s if it did not) plus `grace_s`.
        grace_s: time for reconnection backoff, added to the above.
        result_limit: results kept until collected; beyond it the oldest is dropped and counted.
        task_memory: how many task ids are remembered, to accept each result once and to number attempts.
    """

    def __init__(
        self,
        *,
        liveness_s: float | None = None,
        grace_s: float = 20.0,
        result_limit: int = 100_000,
        task_memory: int = 100_000,
    ) -> None:
        self.counters = {
            "stale_deaths": 0,
            "duplicate_results": 0,
            "retained_results": 0,
            "forgotten_ignored": 0,
            "results_dropped": 0,
        }
        self._liveness_s = liveness_s
        self._grace_s = grace_s
        self._nodes: dict[str, NodeRecord] = {}
        self._unverified: dict[str, float] = {}  # node id -> when it is declared dead
        self._next_deadline_s: float | None = None
        self._dead: dict[str, None] = {}  # deaths not collected yet, in order
        self._forgotten: set[str] = set()
        self._results: dict[str, list[dict[str, Any]]] = {}
        self._result_count = 0
        self._result_limit = result_limit
        self._finished: dict[str, None] = {}
        self._attempts: dict[str, int] = {}
        self._task_memory = task_memory

    # --- what arrives -----------------------------------------------------------------------------------

    def receive(self, message: Message, *, retained: bool, now_s: float, wall_s: float) -> list[Effect]:
        """Take in a valid message; `retained` says that the broker replayed it at subscription."""
        if isinstance(message, ResultMessage):
            return self._receive_result(message, retained, wall_s)
        if isinstance(message, Announcement):
            return self._receive_announcement(message, wall_s)
        if message.node_id in self._forgotten:
            self.counters["forgotten_ignored"] += 1
            return []
        if isinstance(message, StatusCleared):
            return []
        if message.status in GONE:
            return self._receive_gone(message, retained, wall_s)
        return self._receive_alive(message, retained, now_s, wall_s)

    def _receive_announcement(self, message: Announcement, wall_s: float) -> list[Effect]:
        self._forgotten.discard(message.node_id)
        record = self._record(message.node_id)
        record.device_type = message.device_type
        record.capabilities = message.capabilities
        return self._heard_alive(record, message.status, message.inc, wall_s)

    def _receive_alive(
        self, message: StatusMessage, retained: bool, now_s: float, wall_s: float
    ) -> list[Effect]:
        record = self._record(message.node_id)
        if message.device_type:
            record.device_type = message.device_type
        if message.capabilities is not None:
            record.capabilities = message.capabilities
        if not retained:
            return self._heard_alive(record, message.status, message.inc, wall_s)
        if record.heard:
            return []  # live traffic has overtaken the retained copy
        effects = self._alive(record, message.status, message.inc, wall_s)
        return effects + self._doubt(record, now_s)

    def _heard_alive(self, record: NodeRecord, status: str, inc: str, wall_s: float) -> list[Effect]:
        record.heard = True
        return self._alive(record, status, inc, wall_s)

    def _alive(self, record: NodeRecord, status: str, inc: str, wall_s: float) -> list[Effect]:
        record.last_seen = wall_s
        self._unverified.pop(record.node_id, None)
        if record.inc != inc or record.status in GONE:
            record.death_reported = False
        if (record.status, record.inc) == (status, inc):
            return []
        record.status = status
        record.inc = inc
        return [NodeChanged(record.node_id, status, inc)]

    def _receive_gone(self, message: StatusMessage, retained: bool, wall_s: float) -> list[Effect]:
        record = self._record(message.node_id)
        if self._is_stale(record, message.inc) or self._is_echo(record, message, retained):
            self.counters["stale_deaths"] += 1
            return [StaleDeath(message.node_id, message.inc)]
        cause = "will" if message.status == DEAD else "offline"
        return self._gone(record, message.status, message.inc, cause, wall_s)

    def _is_stale(self, record: NodeRecord, inc: str) -> bool:
        """A will names the connection it was made for; one of another connection says nothing of this one."""
        return bool(inc and record.inc and inc != record.inc)

    def _is_echo(self, record: NodeRecord, message: StatusMessage, retained: bool) -> bool:
        """Our own declaration of death, which crossed with a sign of life."""
        if retained or message.status != DEAD or message.inc != record.declared_inc:
            return False
        record.declared_inc = None
        return record.status not in GONE

    def _gone(self, record: NodeRecord, status: str, inc: str, cause: str, wall_s: float) -> list[Effect]:
        self._unverified.pop(record.node_id, None)
        record.last_seen = wall_s
        effects: list[Effect] = []
        if record.status != status or record.inc != (inc or record.inc):
            record.status = status
            record.inc = inc or record.inc
            effects.append(NodeChanged(record.node_id, status, record.inc))
        if not record.death_reported:
            record.death_reported = True
            self._dead[record.node_id] = None
            effects.append(NodeDied(record.node_id, record.inc, cause))
        return effects

    def _receive_result(self, message: ResultMessage, retained: bool, wall_s: float) -> list[Effect]:
        reason = self._why_ignored(message, retained)
        if reason:
            return [ResultIgnored(message.node_id, message.task_id, reason)]
        if message.node_id in self._nodes and message.inc == self._nodes[message.node_id].inc:
            self._nodes[message.node_id].last_seen = wall_s
            self._unverified.pop(message.node_id, None)
        if message.task_id is not None:
            _remember(self._finished, message.task_id, None, self._task_memory)
        self._results.setdefault(message.node_id, []).append(
            {
                "result": message.result,
                "timestamp": message.timestamp,
                "received_at": wall_s,
                "task_id": message.task_id,
                "attempt": message.attempt,
                "inc": message.inc,
            }
        )
        self._result_count += 1
        if self._result_count > self._result_limit:
            self._drop_oldest_result()
        return [ResultAccepted(message.node_id, message.task_id, message.result)]

    def _why_ignored(self, message: ResultMessage, retained: bool) -> str:
        if retained:
            self.counters["retained_results"] += 1
            return "retained"
        if message.node_id in self._forgotten:
            self.counters["forgotten_ignored"] += 1
            return "forgotten"
        if message.task_id is not None and message.task_id in self._finished:
            self.counters["duplicate_results"] += 1
            return "duplicate"
        return ""

    def _drop_oldest_result(self) -> None:
        oldest = min(self._results, key=lambda node_id: self._results[node_id][0]["received_at"])
        self._discard_results(oldest, 1)
        self.counters["results_dropped"] += 1

    # --- outages ----------------------------------------------------------------------------------------

    def link_up(self, now_s: float) -> list[Effect]:
        """The master is (again) connected and subscribed: what it knows of living nodes is now in doubt."""
        effects: list[Effect] = []
        for record in self._nodes.values():
            if record.status not in GONE:
                effects += self._doubt(record, now_s)
        return effects

    def link_down(self) -> None:
        """The master has no broker: no node can be judged until it has one again."""
        for record in self._nodes.values():
            record.heard = False
            record.declared_inc = None
        self._unverified.clear()
        self._next_deadline_s = None

    def _doubt(self, record: NodeRecord, now_s: float) -> list[Effect]:
        deadline_s = now_s + self._liveness_of(record)
        self._unverified[record.node_id] = deadline_s
        if self._next_deadline_s is None or deadline_s < self._next_deadline_s:
            self._next_deadline_s = deadline_s
        return [Probe(record.node_id)]

    def _liveness_of(self, record: NodeRecord) -> float:
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

    def next_deadline_s(self) -> float | None:
        """When `tick` may next have something to do."""
        return self._next_deadline_s

    def tick(self, now_s: float, wall_s: float) -> list[Effect]:
        """Declare dead the unverified nodes whose bound has passed."""
        overdue = [node_id for node_id, deadline_s in self._unverified.items() if deadline_s <= now_s]
        effects: list[Effect] = []
        for node_id in overdue:
            record = self._nodes[node_id]
            last_seen = record.last_seen
            effects += self._gone(record, DEAD, record.inc, "silent", wall_s)
            record.last_seen = last_seen
            record.declared_inc = record.inc
            effects.append(DeclareDead(node_id, record.inc))
        self._next_deadline_s = min(self._unverified.values(), default=None)
        return effects

    # --- questions --------------------------------------------------------------------------------------

    def info(self, node_id: str) -> dict[str, Any] | None:
        """One node's record as a copy, None if unknown."""
        record = self._nodes.get(node_id)
        return record.public() if record else None

    def infos(self, status: str | None = None) -> list[dict[str, Any]]:
        """All records (of one status) as copies, in the order the nodes became known."""
        return [r.public() for r in self._nodes.values() if status is None or r.status == status]

    def status_of(self, node_id: str) -> str | None:
        """The node's status, None if unknown."""
        record = self._nodes.get(node_id)
        return record.status if record else None

    def next_attempt(self, task_id: str) -> int:
        """1 for a task not sent yet, one more each time it was `sent`."""
        return self._attempts.get(task_id, 0) + 1

    def sent(self, task_id: str, attempt: int) -> None:
        """This attempt is on its way."""
        _remember(self._attempts, task_id, attempt, self._task_memory)

    def dead_nodes(self, *, empty: bool) -> list[str]:
        """Deaths not collected yet, oldest first; `empty` collects them."""
        dead = list(self._dead)
        if empty:
            self._dead.clear()
        return dead

    def results(self, only: Collection[str] | None, *, remove: bool) -> dict[str, list[dict[str, Any]]]:
        """Results by node (of the nodes in `only`), as copies; `remove` takes exactly these out."""
        chosen: Iterable[str] = (
            list(self._results) if only is None else [n for n in self._results if n in only]
        )
        if not remove:
            return {node_id: deepcopy(self._results[node_id]) for node_id in chosen}
        found = {node_id: self._results.pop(node_id) for node_id in chosen}
        self._result_count -= sum(map(len, found.values()))
        return found

    def _discard_results(self, node_id: str, count: int) -> None:
        del self._results[node_id][:count]
        self._result_count -= count
        if not self._results[node_id]:
            del self._results[node_id]

    def forget(self, node_id: str) -> bool:
        """Remove every trace of the node and ignore its status until it announces itself anew."""
        known = self._nodes.pop(node_id, None) is not None
        self._unverified.pop(node_id, None)
        self._dead.pop(node_id, None)
        if node_id in self._results:
            self._discard_results(node_id, len(self._results[node_id]))
        self._forgotten.add(node_id)
        return known

    def _record(self, node_id: str) -> NodeRecord:
        record = self._nodes.get(node_id)
        if record is None:
            record = self._nodes[node_id] = NodeRecord(node_id, "")
        return record


def _remember(memory: dict[str, Any], key: str, value: Any, limit: int) -> None:
    memory.pop(key, None)  # last in order
    memory[key] = value
    if len(memory) > limit:  # many at once: to find the first one, a dict passes all that were removed before
        for oldest in list(islice(memory, 1 + limit // 100)):
            del memory[oldest]


__all__ = [
    "CONNECTED",
    "DeclareDead",
    "Effect",
    "NodeChanged",
    "NodeDied",
    "NodeRecord",
    "Probe",
    "Registry",
    "ResultAccepted",
    "ResultIgnored",
    "StaleDeath",
]
