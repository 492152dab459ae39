"""The broker model on a host of the virtual network."""

from __future__ import annotations

from collections.abc import Callable

from simpy import Environment

from dcompute.drivers import Timer
from dcompute_sim.brokers.model.broker import Broker
from dcompute_sim.brokers.model.broker_config import BrokerConfig
from dcompute_sim.brokers.model.session import Connection
from dcompute_sim.net.clock import Clock
from dcompute_sim.net.network import Host
from dcompute_sim.net.sockets import Stream

PORT = 1883


class _Served:
    """One accepted connection; `arm` is told when the broker may have a new deadline."""

    __slots__ = ("_arm", "_broker", "_connection", "_env")

    def __init__(
        self, broker: Broker, connection: Connection, env: Environment, arm: Callable[[Broker], None]
    ) -> None:
        self._broker = broker
        self._connection = connection
        self._env = env
        self._arm = arm

    def received(self, data: bytes) -> None:
        connecting = self._connection.session is None
        self._broker.received(self._connection, data, self._env._now)
        if connecting:  # of all packets only CONNECT can bring a deadline nearer
            self._arm(self._broker)

    def closed(self, _error: OSError | None) -> None:
        self._broker.lost(self._connection, self._env.now)

    def congested(self, full: bool) -> None:
        self._broker.congested(self._connection, full)


class ModelBroker:
    """See the module's head.

    Args:
        wills_at_stop: whether it publishes them when it is stopped.
    """

    def __init__(
        self, host: Host, clock: Clock, config: BrokerConfig | None = None, *, wills_at_stop: bool = True
    ) -> None:
        self.running: Broker | None = None
        self._host = host
        self._wills_at_stop = wills_at_stop
        self._clock = clock
        self._config = config or BrokerConfig()
        self._memory: bytes | None = None
        self._timer: Timer | None = None
        self._timer_at_s = 0.0

    def start(self) -> None:
        """Listen; with the memory of the last `stop`, if it was kept."""
        if self._memory is not None:
            self.running = Broker.restore(self._memory, self._config)
        else:
            self.running = Broker(self._config)
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
        served = _Served(broker, broker.opened(stream, self._clock.env.now), self._clock.env, self._arm)
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
