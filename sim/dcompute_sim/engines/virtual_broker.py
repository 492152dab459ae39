"""The broker model on a host of the virtual network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from simpy import Environment

from dcompute.drivers import Timer
from dcompute_sim.brokers.model.broker import Broker
from dcompute_sim.brokers.model.edge import SilentObserver
from dcompute_sim.brokers.model.packets import Connect
from dcompute_sim.brokers.model.profiles import PROFILES, BrokerProfile
from dcompute_sim.brokers.model.router import MAY_NOT_PUBLISH, MAY_NOT_READ
from dcompute_sim.brokers.model.session import Connection
from dcompute_sim.brokers.stand_in import stand_in
from dcompute_sim.faults.injection import Answer
from dcompute_sim.net.clock import Clock
from dcompute_sim.net.network import Host
from dcompute_sim.net.sockets import Stream
from dcompute_sim.wire_audit import WireAudit

if TYPE_CHECKING:
    from dcompute_sim.brokers.model.broker_history import BrokerHistory, Now
    from dcompute_sim.net.tls_stream import ServerStream

PORT = 1883
_TELL_AFTER_S = 1.0  # what is dropped within this time is told as one

Dropped = Callable[[str, str, str, int], None]
"""Is told (whose messages they were, why, on which topic, how many) of what the broker dropped; the topic
only where the access rules are why."""


class _BrokerLog(SilentObserver):
    """Counts what the broker drops, by the participant that does not get it, and tells it in sums; hands on
    what it hears."""

    def __init__(self, clock: Clock, told: Dropped, audit: WireAudit | None) -> None:
        self.who: dict[str, str] = {}  # client id -> the host it last connected from
        self.speaking = ""  # the host whose bytes the broker reads: a client id may be another's, too
        self._audit = audit
        self._clock = clock
        self._told = told
        self._counts: dict[tuple[str, str, str], int] = {}

    def connect_heard(self, client_id: str, connect: Connect) -> None:
        if self._audit is not None:
            self._audit.connect(self.speaking, connect)

    def subscribe_heard(self, client_id: str, wanted: Sequence[tuple[bytes, int]]) -> None:
        if self._audit is not None:
            self._audit.subscribe(self.speaking, wanted)

    def publish_heard(self, client_id: str, flags: int, topic: bytes, payload: bytes) -> None:
        if self._audit is not None:
            self._audit.publish(self.speaking, flags, topic, payload)

    def disconnect_heard(self, client_id: str) -> None:
        if self._audit is not None:
            self._audit.disconnect(self.speaking)

    def will_published(self, client_id: str, topic: str, payload: bytes) -> None:
        if self._audit is not None:
            self._audit.will(self.who.get(client_id, client_id), topic, payload)

    def message_dropped(self, client_id: str, topic: str, reason: str) -> None:
        if not self._counts:
            self._clock.call_later(_TELL_AFTER_S, self.tell)
        told = topic if reason in (MAY_NOT_PUBLISH, MAY_NOT_READ) else ""
        key = self.who.get(client_id, client_id), reason, told
        self._counts[key] = self._counts.get(key, 0) + 1

    def tell(self) -> None:
        """Tell now what was not told yet."""
        counts, self._counts = self._counts, {}
        for (who, reason, topic), count in counts.items():
            self._told(who, reason, topic, count)


class _Served:
    """One accepted connection; `arm` is told when the broker may have a new deadline."""

    __slots__ = ("_arm", "_broker", "_connection", "_env", "_log", "_name", "_retained_late")

    def __init__(
        self,
        broker: Broker,
        connection: Connection,
        env: Environment,
        arm: Callable[[Broker], None],
        name: str,
        log: _BrokerLog,
    ) -> None:
        self._name = name
        self._log = log
        self._broker = broker
        self._connection = connection
        self._env = env
        self._arm = arm
        self._retained_late = broker.config.retained_late_s > 0

    def received(self, data: bytes) -> None:
        connection = self._connection
        connected = connection.session is not None
        self._log.speaking = self._name
        self._broker.received(connection, data, self._env._now)
        if connected and not self._retained_late:  # then no packet brings a deadline nearer
            return
        if not connected and connection.session is not None and connection.client_id != self._name:
            self._log.who[connection.client_id] = self._name
        self._arm(self._broker)

    def closed(self, _error: OSError | None) -> None:
        self._broker.lost(self._connection, self._env.now)

    def congested(self, full: bool) -> None:
        self._broker.congested(self._connection, full)


class ModelBroker:
    """Runs the broker model as the program of a virtual host.

    Args:
        profile: whose limits and habits it has.
        dropped: is told what it drops.
        audit: hears what clients say.
        secure: puts TLS around what it accepts, which clients must speak then.
        history: is written, of what it holds at each moment; beside it what tells the moment.
    """

    def __init__(
        self,
        host: Host,
        clock: Clock,
        profile: BrokerProfile = PROFILES["model"],
        dropped: Dropped = lambda who, why, topic, count: None,
        audit: WireAudit | None = None,
        secure: Callable[[Stream], ServerStream] | None = None,
        history: tuple[BrokerHistory, Now] | None = None,
    ) -> None:
        self._history = history
        self._secure = secure
        self.running: Broker | None = None
        self._host = host
        self._wills_at_stop = profile.wills_at_stop
        self._clock = clock
        self._config = profile.config
        self.log = _BrokerLog(clock, dropped, audit)
        self._memory: bytes | None = None
        self._timer: Timer | None = None
        self._timer_at_s = 0.0
        self._turned_away: dict[str, tuple[Broker | None, Callable[[], None]]] = {}  # by host

    def turn_away(self, name: str, answer: Answer, told: Callable[[], None]) -> None:
        """Answer connections from this host like this from now on; `told` is called for each."""
        self._turned_away[name] = stand_in(answer), told

    def let_in(self, name: str) -> None:
        """Undo it, for later connections."""
        self._turned_away.pop(name, None)

    def start(self) -> None:
        """Listen; with the memory of the last `stop`, if it was kept."""
        if self._history is None:
            self.running = Broker(self._config, self.log)
        else:
            from dcompute_sim.brokers.model.broker_history import (
                RecordedBroker,  # here: hardly a run wants it
            )

            self.running = RecordedBroker(*self._history, self._config, self.log)
        if self._memory is not None:
            self.running.restore(self._memory)
        self._memory = None
        self._host.listen(PORT, self._accepted)

    def stop(self, *, keep_memory: bool) -> None:
        """End the process; its kernel closes every connection."""
        broker, self.running = self.running, None
        if broker is not None:
            if self._wills_at_stop:
                broker.stop()
            if keep_memory:
                self._memory = broker.snapshot()
            if self._history is not None:
                history, now = self._history
                history.stopped(now())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for end in list(self._host.connections):
            end.server.detach()
        self._host.crash()

    def _accepted(self, stream: Stream) -> None:
        broker = self.running
        if broker is None:
            stream.abort()
            return
        name = stream.connection.name
        if name in self._turned_away:
            other, told = self._turned_away[name]
            told()
            if other is None:
                return
            broker = other
        secured = None if self._secure is None else self._secure(stream)
        connection = broker.opened(secured or stream, self._clock.env.now)
        served = _Served(broker, connection, self._clock.env, self._arm, name, self.log)
        if secured is None:
            stream.on_data = served.received
        else:
            secured.serve(served.received)
        stream.on_closed = served.closed
        stream.on_full = served.congested
        self._arm(broker)

    def _arm(self, broker: Broker) -> None:
        due_s = broker.next_deadline_s()
        if due_s is None or (self._timer is not None and self._timer_at_s <= due_s):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at_s = due_s
        self._timer = self._clock.call_at(due_s, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self.running is not None:
            self.running.tick(self._clock.env.now)
            self._arm(self.running)
