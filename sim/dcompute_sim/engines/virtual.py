"""Virtual time: SimPy is the clock, links and broker are simulated; the transports are the real ones."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import paho.mqtt.client as paho
import simpy
from simpy import Environment, Event

from dcompute.drivers import Address, ChannelUser, Driver, Timer
from dcompute_sim import trace as t
from dcompute_sim.brokers.model.broker_config import MAX_IN_FLIGHT
from dcompute_sim.brokers.model.profiles import PROFILES, BrokerProfile
from dcompute_sim.engines.virtual_broker import PORT, ModelBroker
from dcompute_sim.engines.virtual_dial import Dial
from dcompute_sim.faults.injection import Answer
from dcompute_sim.interfaces.broker_access import OPEN, BrokerAccess
from dcompute_sim.interfaces.node import Node, NodeSpec
from dcompute_sim.interfaces.participant import Participant
from dcompute_sim.interfaces.suspendable import SuspendableDriver
from dcompute_sim.interfaces.world import EngineError, Login, Machine
from dcompute_sim.net.clock import Clock
from dcompute_sim.net.network import Host, Network
from dcompute_sim.output_files import TraceFile
from dcompute_sim.recorder import Recorder
from dcompute_sim.rng import Rng
from dcompute_sim.scenario import NetworkSettings
from dcompute_sim.scenario.broker_limits import AS_IT_COMES, BrokerLimits
from dcompute_sim.scenario.broker_tls import BrokerTls
from dcompute_sim.trace import Trace
from dcompute_sim.wire_audit import WireAudit

if TYPE_CHECKING:
    from dcompute_sim.brokers.model.broker_history import BrokerHistory
    from dcompute_sim.interfaces.tls_logins import TlsLogins

BROKER = "broker"
EPOCH_S = 1_700_000_000.0
_PLAIN = Login()
START_S = 1.0  # paho takes a ping time of 0 for "no ping under way", so its clock must not start there


class VirtualDriver:
    """The driver of one host: its connections cross the virtual network, its timers are SimPy's."""

    __slots__ = ("_authority", "_clock", "_env", "_host", "call_later", "random")

    def __init__(self, host: Host, clock: Clock, rng: Rng, authority: bytes | None = None) -> None:
        self.random = rng
        self.call_later = clock.shared_call_later
        self._authority = authority  # whose certificates its program believes
        self._host = host
        self._clock = clock
        self._env = clock.env

    def now_s(self) -> float:
        return self._env._now + START_S

    def wall_s(self) -> float:
        return EPOCH_S + self._env._now

    def call_on_loop(self, call: Callable[[], None]) -> None:
        call()

    def dial(self, address: Address, user: ChannelUser) -> Timer:
        if address.tls is None:
            return Dial(self._host, address, user)
        from dcompute_sim.engines.virtual_tls import TlsDial  # here: a run without `tls:` has no use for it

        return TlsDial(self._host, address, user, self._authority, self.wall_s())

    def deliver(self, call: Callable[[], None]) -> None:
        self._clock.call_later(0.0, call)  # as a dispatcher thread does: when what is going on has been done

    def wait(self, started: Callable[[Callable[[], None]], None], timeout_s: float) -> bool:
        finished: list[bool] = []
        started(lambda: finished.append(True))
        return bool(finished)


class VirtualMachine:
    """A host of the virtual network, as the director handles it."""

    __slots__ = ("_broker", "_network", "driver", "host", "login", "name")

    address = (BROKER, PORT)

    def __init__(
        self,
        host: Host,
        clock: Clock,
        rng: Rng,
        network: NetworkSettings,
        broker: ModelBroker,
        login: Login = _PLAIN,
    ) -> None:
        self.name = host.name
        self.host = host
        self.login = login
        self.driver: Driver = VirtualDriver(host, clock, rng, login.authority)
        self._network = network
        self._broker = broker
        self.restore()

    def crash(self, driver: SuspendableDriver) -> None:
        self.host.crash()

    def power_cut(self, driver: SuspendableDriver) -> None:
        self.host.power_cut()

    def power_on(self) -> None:
        if not self.host.powered:
            self.host.power_on()

    def reset_connections(self) -> None:
        self.host.reset_connections()

    def forget_connections(self) -> Callable[[], bool]:
        return self.host.forget_connections()

    def link_down(self, *, known: bool) -> None:
        if known:
            self.host.link.drop()
        else:
            self.host.link.down()

    def link_up(self) -> None:
        self.host.link.up()

    def turn_away(self, answer: Answer, told: Callable[[], None]) -> None:
        self._broker.turn_away(self.name, answer, told)

    def let_in(self) -> None:
        self._broker.let_in(self.name)

    def connections(self) -> int:
        return self.host.reached

    def crossings(self) -> int:
        return self.host.link.crossings

    def slow(self, latency_s: float | None, jitter_s: float | None, bytes_per_s: float | None) -> None:
        usual = self._network
        self.host.slow(
            usual.latency if latency_s is None else latency_s,
            usual.jitter if jitter_s is None else jitter_s,
            usual.bandwidth if bytes_per_s is None else bytes_per_s,
            usual.loss,
        )

    @property
    def round_trip_s(self) -> float:
        """What its link takes at least, there and back."""
        return 2 * max(0.0, (self._network.latency or 0.0) - (self._network.jitter or 0.0))

    def restore(self) -> None:
        self.slow(None, None, None)


_LARGEST_PACKET = 268_435_460  # of MQTT 3.1.1, 2.2.3: four bytes of length, and the header
VirtualNodeFactory = Callable[[NodeSpec, VirtualMachine, Recorder], Node]


def _limited(profile: BrokerProfile, limits: BrokerLimits) -> BrokerProfile:
    config = profile.config
    if limits.in_flight is not None:
        config = replace(config, inflight_window=limits.in_flight or MAX_IN_FLIGHT)
    if limits.queued is not None:
        config = replace(config, queue_limit=limits.queued or sys.maxsize)
    if limits.packet is not None:
        config = replace(config, max_packet_bytes=limits.packet or _LARGEST_PACKET)
    return replace(profile, config=config)


class VirtualEngine:
    """Supplies virtual machines, a simulated broker and SimPy's time (an `interfaces.world.Engine`).

    Args:
        seed: of the run.
        factories: what makes a node of each kind.
        broker: whose limits and habits the model has, one of PROFILES.
        limits: instead of that broker's.
        namespace: before every topic.
        tls: what the broker's certificate is like; None: it speaks no TLS.
        access: who may log in at the broker, and do what there.
        history: is written, of what the broker holds at each moment.
    """

    def __init__(
        self,
        trace: Trace,
        seed: int,
        factories: Mapping[str, VirtualNodeFactory],
        broker: str = "model",
        limits: BrokerLimits = AS_IT_COMES,
        namespace: str = "",
        tls: BrokerTls | None = None,
        history: BrokerHistory | None = None,
        access: BrokerAccess = OPEN,
    ) -> None:
        self.env = Environment()
        self._logins: TlsLogins | None = None
        secure = None
        if tls is not None:
            from dcompute_sim.engines.virtual_tls import modelled_logins, tls_server

            self._logins = modelled_logins()
            secure = tls_server(tls.certificate, BROKER)
        self._factories = factories
        self._stamp_s = 0.0
        self._stamp_us = 0
        self.recorder = Recorder(trace, self._now_us)
        self._rng = Rng(f"{seed}/strangers")  # of whoever has no generator of its own
        self.network = Network(self.env, seed, observer=self.recorder)
        self._clock = self.network.clock
        self.broker_name = broker
        profile = _limited(PROFILES[broker], limits)
        self._access = access
        if access is not OPEN:
            from dcompute_sim.engines.virtual_access import guarded

            profile = guarded(profile, access)
        self.broker_granularity_s = profile.config.keepalive_step_s
        self._queue_limit = profile.config.queue_limit
        host = self.network.host(BROKER, wired=True)
        self._audit = WireAudit(self.recorder.add, self._wall_s, namespace)
        written = None if history is None else (history, lambda: (len(trace), self._now_us()))
        self._broker = ModelBroker(host, self._clock, profile, self._dropped, self._audit, secure, written)

    def _wall_s(self) -> float:
        return EPOCH_S + self.env._now

    def _dropped(self, who: str, why: str, topic: str, count: int) -> None:
        self.recorder.add(
            t.MessagesDropped, who=who, why=why, count=count, holds=self._queue_limit, topic=topic
        )

    def _now_us(self) -> int:
        now_s = self.env._now
        if now_s != self._stamp_s:  # events of one moment share one integer: a trace is kept for a whole run
            self._stamp_s = now_s
            self._stamp_us = round(now_s * 1e6)
        return self._stamp_us

    def machine(self, participant: Participant, network: NetworkSettings) -> VirtualMachine:
        self.recorder.define(participant)
        self._audit.participant(participant.name, participant.role, participant.node)
        host = self.network.host(participant.name)
        login = _PLAIN if self._logins is None else self._logins.of(participant.role)
        login = self._access.login(participant, login)
        return VirtualMachine(host, self._clock, self._rng, network, self._broker, login)

    def node(self, spec: NodeSpec, machine: Machine) -> Node:
        if spec.group.kind not in self._factories:
            raise EngineError(f"group {spec.group_name}: no {spec.group.kind} nodes in virtual time")
        assert isinstance(machine, VirtualMachine), "made by `machine`"
        self._audit.node(
            spec.name,
            node_id=spec.node_id,
            ours=spec.group.files is None,
            keepalive_s=spec.group.keepalive,
            knows_time=spec.group.kind == "python",
            round_trip_s=machine.round_trip_s,
        )
        return self._factories[spec.group.kind](spec, machine, self.recorder)

    def start_broker(self) -> Event:
        self._broker.start()
        return self._at_once()

    def stop_broker(self, *, keep_memory: bool) -> Event:
        self._broker.stop(keep_memory=keep_memory)
        return self._at_once()

    def ready(self) -> Event:
        return self._at_once()

    def finish(self) -> None:
        self._broker.log.tell()
        self._audit.close()

    def _at_once(self) -> Event:
        event = self.env.event()
        event.succeed()
        return event

    @contextlib.contextmanager
    def capture(self, path: Path | None) -> Iterator[None]:
        """Write every packet sent inside to a pcapng file (None: write nothing)."""
        if path is None:
            yield
            return
        from dcompute_sim.net.pcap import PcapWriter  # here: hardly any run is captured

        with TraceFile(path) as out:
            self.network.tap = PcapWriter(out, lambda: EPOCH_S + self.env.now)
            try:
                yield
            finally:
                self.network.tap = None

    def run(self, process: Callable[[], simpy.events.ProcessGenerator]) -> None:
        """Run `process()` to its end, with paho on this clock."""
        real_time = paho.time_func
        env = self.env
        paho.time_func = lambda: env._now + START_S
        try:
            self._clock.run_until(env.process(process()))
        finally:
            paho.time_func = real_time
