"""The broker model on a host of the virtual network."""

from __future__ import annotations

from collections.abc import Callable

from simpy import Environment

from dcompute.drivers import Timer
from dcompute_sim.brokers.model.broker import Broker
from dcompute_sim.brokers.model.edge import SilentObserver
from dcompute_sim.brokers.model.profiles import PROFILES, BrokerProfile
from dcompute_sim.brokers.model.session import Connection
from dcompute_sim.net.clock import Clock
from dcompute_sim.net.network import Host
from dcompute_sim.net.sockets import Stream

PORT = 1883
_TELL_AFTER_S = 1.0  # what is dropped within this time is told as one

Dropped = Callable[[str, str, int], None]
"""Is told (whose messages they were, why, how many) of what the broker dropped."""


class _Drops(SilentObserver):
    """Counts what the broker drops, by the participant that does not get it, and tells it in sums."""

    def __init__(self, clock: Clock, told: Dropped) -> None:
        self.who: dict[str, str] = {}  # client id -> the host it last connected from
        self._clock = clock
        self._told = told
        self._counts: dict[tuple[str, str], int] = {}

    def message_dropped(self, client_id: str, topic: str, reason: str) -> None:
        if not self._counts:
            self._clock.call_later(_TELL_AFTER_S, self.tell)
        key = self.who.get(client_id, client_id), reason
        self._counts[key] = self._counts.get(key, 0) + 1

    def tell(self) -> None:
        """Now, what was not told yet."""
        counts, self._counts = self._counts, {}
        for (who, reason), count in counts.items():
            self._told(who, reason, count)


class _Served:
    """One accepted connection; `arm` is told when the broker may have a new deadline."""

    __slots__ = ("_arm", "_broker", "_connection", "_env", "_name", "_who")

    def __init__(
        self,
        broker: Broker,
        connection: Connection,
        env: Environment,
        arm: Callable[[Broker], None],
        name: str,
        who: dict[str, str],
    ) -> None:
        self._name = name
        self._who = who
        self._broker = broker
        self._connection = connection
        self._env = env
        self._arm = arm

    def received(self, data: bytes) -> None:
        connecting = self._connection.session is None
        self._broker.received(self._connection, data, self._env._now)
        if connecting:  # of all packets only CONNECT can bring a deadline nearer
            if self._connection.session is not None and self._connection.client_id != self._name:
                self._who[self._connection.client_id] = self._name
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
    """

    def __init__(
        self,
        host: Host,
        clock: Clock,
        profile: BrokerProfile = PROFILES["model"],
        dropped: Dropped = lambda who, why, count: None,
    ) -> None:
        self.running: Broker | None = None
        self._host = host
        self._wills_at_stop = profile.wills_at_stop
        self._clock = clock
        self._config = profile.config
        self.drops = _Drops(clock, dropped)
        self._memory: bytes | None = None
        self._timer: Timer | None = None
        self._timer_at_s = 0.0

    def start(self) -> None:
        """Listen; with the memory of the last `stop`, if it was kept."""
        if self._memory is not None:
            self.running = Broker.restore(self._memory, self._config, self.drops)
        else:
            self.running = Broker(self._config, self.drops)
        self._memory = None
        self._host.listen(PORT, self._accepted)

    def stop(self, *, keep_memory: bool) -> None:
        """The process ends; its kernel closes every connection."""
        broker, self.running = self.running, None
        if broker is not None:
            if self._wills_at_stop:
                broker.stop()
            if keep_memory:
                self._memory = broker.snapshot()
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
        connection, name = broker.opened(stream, self._clock.env.now), stream.connection.name
        served = _Served(broker, connection, self._clock.env, self._arm, name, self.drops.who)
        stream.on_data = served.received
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
