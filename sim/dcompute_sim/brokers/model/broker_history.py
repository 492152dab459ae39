"""What a broker held at each moment: every session with what is in flight and queued, every retained message.

A trace does not tell it: to write down each message that waits a millisecond would cost every run what only
pages and `dcompute at` ask for. So it is kept beside a run when somebody wants it, and of a saved trace the
run is made again, which is the same to the byte.

Rules:

1. A moment is a number of events of the trace and a time. What changed is noted after each call of the
   broker, so nothing is half done in a note.
2. Notes of one client, or topic, stand in the order of time and say all that is held then; what is the same
   again is kept once.
3. Another thread may read while the run goes on: a note counts only when its moment is there, which comes
   last.
4. A broker that is down holds nothing. What it kept on disk is there again when it is started.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Mapping
from typing import Generic, NamedTuple, TypeVar

from dcompute_sim.brokers.model.broker import Broker
from dcompute_sim.brokers.model.broker_config import BrokerConfig
from dcompute_sim.brokers.model.edge import Observer
from dcompute_sim.brokers.model.router import Dropped, Router
from dcompute_sim.brokers.model.session import Connection, Session

V = TypeVar("V")
Now = Callable[[], tuple[int, int]]
"""How many events the trace has, and the time in us."""


class HeldSession(NamedTuple):
    """What a broker holds of one client.

    Attributes:
        clean: it ends with its connection; else it is kept.
        connected: its client is there.
        in_flight: messages of QoS 1 and 2 that were sent and are not acknowledged.
        queued: messages that wait until they may be sent.
        unreleased: messages of QoS 2 that came from it and are not released yet.
        subscriptions: how many.
    """

    clean: bool
    connected: bool
    in_flight: int
    queued: int
    unreleased: int
    subscriptions: int


class HeldMemory(NamedTuple):
    """All that a broker holds at one moment.

    Attributes:
        sessions: by client id.
        retained: payloads by topic.
        dropped: how many messages were dropped so far, by the client that should have got them, or that was
            not allowed to send them.
    """

    sessions: dict[str, HeldSession]
    retained: dict[str, bytes]
    dropped: dict[str, int]


class _Notes(Generic[V]):
    """What one thing was, and from which change on. None: it was not there."""

    __slots__ = ("since", "values")

    def __init__(self) -> None:
        self.since = array("q")
        self.values: list[V | None] = []

    def add(self, change: int, value: V | None) -> None:
        if (self.values[-1] if self.values else None) != value:
            self.values.append(value)
            self.since.append(change)

    def at(self, change: int) -> V | None:
        found = bisect_right(self.since, change) - 1
        return self.values[found] if found >= 0 else None


class BrokerHistory:
    """What a broker held, from the beginning of a run to where it has come."""

    def __init__(self) -> None:
        self._events = array("q")  # of each change: how many events there were
        self._times = array("q")  # and when it was, in us
        self._sessions: dict[str, _Notes[HeldSession]] = {}
        self._retained: dict[str, _Notes[bytes]] = {}
        self._dropped: dict[str, _Notes[int]] = {}
        self._same: dict[object, object] = {}

    def note(
        self,
        now: tuple[int, int],
        sessions: Mapping[str, HeldSession | None],
        retained: Mapping[str, bytes | None],
        dropped: Mapping[str, int],
    ) -> None:
        """Take in what is held of some from now on; None: nothing any more."""
        change = len(self._times)
        for client_id, session in sessions.items():
            self._sessions.setdefault(client_id, _Notes()).add(change, self._once(session))
        for topic, payload in retained.items():
            self._retained.setdefault(topic, _Notes()).add(change, self._once(payload))
        for client_id, count in dropped.items():
            self._dropped.setdefault(client_id, _Notes()).add(change, count)
        self._events.append(now[0])
        self._times.append(now[1])

    def stopped(self, now: tuple[int, int]) -> None:
        """Take in that the broker is down."""
        self.note(now, dict.fromkeys(self._sessions), dict.fromkeys(self._retained), {})

    def _once(self, value: V) -> V:
        same: V = self._same.setdefault(value, value)  # type: ignore[assignment]  # equal, so of one type
        return same

    def at(self, events: int, time_us: int) -> HeldMemory:
        """Return what was held when there were so many events, at this time."""
        change = min(bisect_right(self._events, events), bisect_right(self._times, time_us)) - 1
        sessions = ((name, notes.at(change)) for name, notes in list(self._sessions.items()))
        retained = ((topic, notes.at(change)) for topic, notes in list(self._retained.items()))
        dropped = ((name, notes.at(change)) for name, notes in list(self._dropped.items()))
        return HeldMemory(
            {name: session for name, session in sessions if session is not None},
            {topic: payload for topic, payload in retained if payload is not None},
            {name: count for name, count in dropped if count},
        )


class RecordedBroker(Broker):
    """A broker whose history is written.

    Args:
        history: is told what is different after each call.
    """

    def __init__(
        self,
        history: BrokerHistory,
        now: Now,
        config: BrokerConfig | None = None,
        observer: Observer | None = None,
    ) -> None:
        super().__init__(config, observer)
        self._history = history
        self._now = now
        self._changed: dict[str, None] = {}  # client ids
        self._topics: dict[bytes, None] = {}
        self._lost: dict[str, int] = dict(history.at(*now()).dropped)
        self._losers: dict[str, None] = {}
        self._router = _RecordedRouter(self._drop, self._topics)

    def received(self, connection: Connection, data: bytes, now_s: float) -> None:
        super().received(connection, data, now_s)
        if connection.session is not None:  # what it has said may have changed all of its session
            self._changed[connection.client_id] = None
        self._note()

    def lost(self, connection: Connection, now_s: float) -> None:
        super().lost(connection, now_s)
        self._note()

    def tick(self, now_s: float) -> None:
        super().tick(now_s)
        self._note()

    def restore(self, data: bytes) -> None:
        super().restore(data)
        self._changed |= dict.fromkeys(self.sessions)
        self._note()

    def _new_session(self, client_id: str, clean: bool) -> Session:
        config = self.config
        session = _RecordedSession(
            client_id, clean, config.inflight_window, config.queue_limit, config.drops_oldest
        )
        session.changed = self._changed
        return session

    def _drop(self, session: Session, topic: bytes, reason: str) -> None:
        super()._drop(session, topic, reason)
        name = session.client_id
        self._lost[name] = self._lost.get(name, 0) + 1
        self._losers[name] = None

    def _note(self) -> None:
        if not (self._changed or self._topics or self._losers):
            return
        retained = self.retained
        self._history.note(
            self._now(),
            {name: _held(self.sessions.get(name)) for name in self._changed},
            {topic.decode(): retained[topic][1] if topic in retained else None for topic in self._topics},
            {name: self._lost[name] for name in self._losers},
        )
        for told in (self._changed, self._topics, self._losers):
            told.clear()


def _held(session: Session | None) -> HeldSession | None:
    if session is None:
        return None
    return HeldSession(
        session.clean,
        session.connection is not None,
        len(session.inflight),
        len(session.queue),
        len(session.incoming),
        len(session.subscriptions),
    )


class _RecordedRouter(Router):
    def __init__(self, dropped: Dropped, topics: dict[bytes, None]) -> None:
        super().__init__(dropped)
        self._topics = topics

    def retain(self, topic: bytes, payload: bytes, qos: int) -> None:
        super().retain(topic, payload, qos)
        self._topics[topic] = None


class _RecordedSession(Session):
    """Marks itself whenever what is held of it changes. `changed`: client ids."""

    __slots__ = ("changed",)
    changed: dict[str, None]

    def detach(self) -> None:
        super().detach()
        self.changed[self.client_id] = None

    def deliver(self, head: bytes, payload: bytes) -> bool:
        self.changed[self.client_id] = None
        return super().deliver(head, payload)
