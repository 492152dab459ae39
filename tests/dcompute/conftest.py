"""What the tests of the production package share: real brokers, fleets that clean up, and a fake world.

The fake world (`World`) is a driver with its own clock whose other end the test plays, packet by packet.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
import subprocess
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Protocol
from weakref import WeakKeyDictionary

import pytest
from dcompute_sim.brokers.broker_process import BrokerProcess
from dcompute_sim.brokers.conformance import wire
from dcompute_sim.brokers.conformance.wire import Packet, PacketKind
from dcompute_sim.brokers.managed import ManagedBroker
from dcompute_sim.brokers.mosquitto import MosquittoBroker, find_mosquitto
from dcompute_sim.brokers.open_files import raise_open_files
from dcompute_sim.brokers.real_broker import BrokerSecurity

from dcompute._mqtt.paho_session import Subscription
from dcompute.asyncio_driver import AsyncioDriver
from dcompute.drivers import Address, ChannelUser, Driver, Timer
from dcompute.master_transport import MasterNodeTransport
from dcompute.node_transport import ComputeNodeTransport
from dcompute.parts import LinkOwner, MqttLink, Outgoing, SessionSettings

from ..conftest import PATIENCE_S, free_port

ROOT = Path(__file__).parents[2]

_numbers = itertools.count()


class Eventually(Protocol):
    """`eventually(condition)`: the condition's first true value."""

    def __call__(self, condition: Callable[..., object], patience_s: float = PATIENCE_S) -> Any: ...


def _eventually(condition: Callable[..., object], patience_s: float = PATIENCE_S) -> Any:
    """The condition's first true value; fails when there is none in time."""
    deadline = time.monotonic() + patience_s
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.002)
    return value


@pytest.fixture(scope="session")
def eventually() -> Eventually:
    return _eventually


# --- real brokers ---------------------------------------------------------------------------------------


class Loop:
    """An asyncio loop on a thread, for the brokers' life cycles."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE_S)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


@pytest.fixture(scope="session")
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


def _new_broker(kind: str, security: BrokerSecurity | None = None) -> ManagedBroker:
    return MosquittoBroker(security) if kind == "mosquitto" else BrokerProcess(kind, security)


class Served:
    """A running broker, for tests that are no coroutines."""

    def __init__(self, loop: Loop, kind: str, security: BrokerSecurity | None = None) -> None:
        self._loop = loop
        self._broker = _new_broker(kind, security)
        self.kind = kind
        loop.run(self._broker.start())

    @property
    def port(self) -> int:
        return self._broker.port

    def pause(self, *, keep_memory: bool) -> None:
        self._loop.run(self._broker.pause(keep_memory=keep_memory))

    def resume(self) -> None:
        self._loop.run(self._broker.start())

    def stop(self) -> None:
        self._loop.run(self._broker.stop())


@pytest.fixture(scope="session")
def mosquitto(loop: Loop) -> Iterator[Served]:
    served = Served(loop, "mosquitto")
    yield served
    served.stop()


@pytest.fixture(scope="session")
def embedded(loop: Loop) -> Iterator[Served]:
    served = Served(loop, "embedded")
    yield served
    served.stop()


@pytest.fixture(scope="session", params=["mosquitto", "embedded"])
def broker(request: pytest.FixtureRequest) -> Served:
    """Each of the two brokers that people will use; shared by all tests, so every fleet has a namespace."""
    served: Served = request.getfixturevalue(request.param)
    return served


@pytest.fixture
def serve(loop: Loop) -> Iterator[Callable[..., Served]]:
    """`serve(kind, security)`: a broker of the test's own."""
    running: list[Served] = []

    def start(kind: str, security: BrokerSecurity | None = None) -> Served:
        running.append(Served(loop, kind, security))
        return running[-1]

    yield start
    for served in running:
        served.stop()


def _listens_or_ended(process: subprocess.Popen[bytes], log: Path) -> bytes:
    """What it says once all its listeners are open, or it has given up; b"" until then."""
    ended = process.poll() is not None
    said = log.read_bytes()
    return said if ended or b"running" in said else b""


@pytest.fixture
def stock_mosquitto(tmp_path: Path) -> Iterator[Callable[..., int]]:
    """`stock_mosquitto(*lines)`: the port of a mosquitto with the limits of its defaults, but for `lines`."""
    running: list[subprocess.Popen[bytes]] = []

    def start(*lines: str) -> int:
        raise_open_files(16_384)
        others = [line for line in lines if line.startswith("listener")]  # what follows one is for it
        rest = [line for line in lines if line not in others]
        for _ in range(5):  # somebody else may take a free port first
            port = free_port()
            config, log = tmp_path / f"stock-{port}.conf", tmp_path / f"stock-{port}.log"
            own = f"listener {port} 127.0.0.1"
            config.write_text("\n".join([*others, own, "allow_anonymous true", *rest, ""]))
            with log.open("wb") as output:
                process = subprocess.Popen([str(find_mosquitto()), "-c", str(config)], stderr=output)
            running.append(process)
            said = _eventually(partial(_listens_or_ended, process, log))
            if b"running" in said:
                return port
        raise AssertionError(said.decode())

    yield start
    for process in running:
        process.kill()
        process.wait()


# --- fleets ---------------------------------------------------------------------------------------------


class TameLink(MqttLink):
    """A link that a test makes quick, cuts, or keeps from speaking; `of` finds a transport's.

    Attributes:
        wait_s: before each attempt to connect; None: as ever.
        pings: as long as it does; without, it is as silent as a program that hangs.
        answers: whether it says what its transport says ahead of all that is held, to questions above all.
    """

    _links: ClassVar[WeakKeyDictionary[LinkOwner, TameLink]] = WeakKeyDictionary()

    def __init__(
        self,
        driver: Driver,
        address: Address,
        settings: SessionSettings,
        owner: LinkOwner,
        *,
        hold_limit: int,
        drop_oldest: bool,
    ) -> None:
        super().__init__(driver, address, settings, owner, hold_limit=hold_limit, drop_oldest=drop_oldest)
        self.wait_s: float | None = None
        self.pings = True
        self.answers = True
        self._links[owner] = self

    @classmethod
    def of(cls, transport: LinkOwner) -> TameLink:
        return cls._links[transport]

    def cut(self) -> None:
        """Loses its connection, and makes another one."""
        self._driver.call_on_loop(lambda: self.reconnect("the test's wish"))

    def hold(self, count: int) -> None:
        """May hold so many messages from now on."""
        self._held.limit = count

    def send_now(self, messages: Sequence[Outgoing]) -> None:
        if self.answers:
            super().send_now(messages)

    def _backoff_s(self) -> float:
        return super()._backoff_s() if self.wait_s is None else self.wait_s

    def _check(self) -> None:
        if self.pings:
            super()._check()


class TameMaster(MasterNodeTransport):
    link_class = TameLink


class TameNode(ComputeNodeTransport):
    link_class = TameLink


class ProbeClient:
    """Any MQTT client: an older node or master, a will, a listener. Holds what it received."""

    def __init__(
        self,
        port: int,
        client_id: str,
        topics: Sequence[str] = (),
        will: Outgoing | None = None,
        keepalive: int = 60,
        login: tuple[str | None, str | None] = (None, None),
    ) -> None:
        self._will = will
        self._topics = topics or (f"nothing/{client_id}",)
        self.got: list[tuple[str, bytes, bool]] = []
        self._driver = AsyncioDriver.shared()
        self._link = MqttLink(
            self._driver,
            Address("127.0.0.1", port),
            SessionSettings(client_id, keepalive, *login),
            self,
            hold_limit=100_000,
            drop_oldest=False,
        )
        assert self._driver.wait(self._link.start, PATIENCE_S)
        assert self._link.is_up(), self._link.last_error

    def publish(self, topic: str, payload: bytes, retain: bool = False) -> None:
        """Returns when the broker has it."""
        self._link.send((topic, payload, retain))
        _eventually(lambda: not self._link.held())

    def flood(self, messages: Sequence[Outgoing]) -> None:
        """Publish all of it; returns when the broker has it."""
        for message in messages:
            assert self._link.send(message)
        _eventually(lambda: not self._link.held(), 120)

    def payloads(self, topic: str) -> list[bytes]:
        return [payload for found, payload, _ in list(self.got) if found == topic]

    def close(self) -> None:
        self._driver.wait(lambda done: self._link.close([], 2, done), 3)

    def kill(self) -> None:
        self._driver.call_on_loop(self._link.kill)

    def link_will(self) -> Outgoing | None:
        return self._will

    def link_topics(self) -> Sequence[Subscription]:
        return [(topic, 1) for topic in self._topics]

    def link_extras(self) -> Sequence[Subscription]:
        return ()

    def link_up(self) -> Sequence[Outgoing]:
        return ()

    def link_message(self, topic: str, payload: bytes, retained: bool) -> None:
        self.got.append((topic, payload, retained))

    def link_down(self, reason: str) -> None: ...
    def link_failed(self, reason: str) -> None: ...
    def link_dropped(self, message: Outgoing) -> None: ...
    def link_refused(self, message: Outgoing, held: bool, reason: str) -> Outgoing | None:
        return None


class Fleet:
    """Masters, nodes and strangers of one test on one broker; names and topics of its own."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.namespace = f"ns{next(_numbers)}"
        self._members: list[Any] = []

    def id(self, name: str) -> str:
        """Client ids are the broker's, whatever the namespace."""
        return f"{self.namespace}-{name}"

    def topic(self, name: str) -> str:
        return f"{self.namespace}/{name}"

    def master(self, *, start: bool = True, **options: Any) -> MasterNodeTransport:
        options = {"namespace": self.namespace, **options}
        master = TameMaster("127.0.0.1", self.port, **options)
        self._members.append(master)
        if start:
            assert master.start(timeout_s=PATIENCE_S), master.last_error
        return master

    def node(self, name: str = "n", *, start: bool = True, **options: Any) -> ComputeNodeTransport:
        options = {"namespace": self.namespace, "install_signal_handlers": False, **options}
        node = TameNode("127.0.0.1", self.port, self.id(name), **options)
        self._members.append(node)
        if start:
            assert node.start(timeout_s=PATIENCE_S), node.last_error
        return node

    def probe_client(self, name: str = "probe", topics: Sequence[str] = (), **options: Any) -> ProbeClient:
        probe = ProbeClient(self.port, self.id(name), [self.topic(topic) for topic in topics], **options)
        self._members.append(probe)
        return probe

    def close(self) -> None:
        for member in self._members:
            member.kill()


@pytest.fixture
def new_fleet() -> Iterator[Callable[[int], Fleet]]:
    fleets: list[Fleet] = []

    def make(port: int) -> Fleet:
        fleets.append(Fleet(port))
        return fleets[-1]

    yield make
    for fleet in fleets:
        fleet.close()


@pytest.fixture
def fleet(broker: Served, new_fleet: Callable[[int], Fleet]) -> Fleet:
    """On mosquitto and on the embedded broker."""
    return new_fleet(broker.port)


# --- the fake world -------------------------------------------------------------------------------------


class _FakeTimer:
    def __init__(self, call: Callable[[], None]) -> None:
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        self.call = None


class Wire:
    """One dialled connection; the test is the broker at its other end."""

    def __init__(self, user: ChannelUser) -> None:
        self._user = user
        self._buffer = bytearray()
        self.writes = 0
        self.opened = False
        self.cancelled = False
        self.ended = ""  # how the client ended it
        self.lost = False

    # the client's side
    def write(self, data: bytes) -> None:
        assert not self.ended, "the client writes to a channel it has closed"
        self._buffer += data
        self.writes += 1

    def close(self) -> None:
        self.ended = "closed"

    def abort(self) -> None:
        self.ended = self.ended or "aborted"

    def cancel(self) -> None:
        self.cancelled = True

    # the broker's
    def open(self) -> Wire:
        assert not self.cancelled
        self.opened = True
        self._user.channel_open(self)
        return self

    def say(self, *packets: bytes) -> None:
        for packet in packets:
            if not self.ended and not self.lost:
                self._user.channel_data(packet)

    def lose(self, error: Exception | None = None) -> None:
        if not self.lost:
            self.lost = True
            self._user.channel_lost(error)

    def heard(self) -> list[Packet]:
        return list(wire.take_packets(self._buffer))

    def accept(self) -> Wire:
        """Open it and answer CONNECT and SUBSCRIBE."""
        self.open()
        assert [packet.kind for packet in self.heard()] == [PacketKind.CONNECT]
        self.say(wire.encode(PacketKind.CONNACK, b"\0\0"))
        (subscribe,) = self.heard()
        assert subscribe.kind == PacketKind.SUBSCRIBE
        granted = b"\1" * _filters(subscribe.body[2:])
        self.say(wire.encode(PacketKind.SUBACK, subscribe.body[:2] + granted))
        return self

    def published(self, *, acknowledge: bool = True) -> list[bytes]:
        """The payloads of what the client published since, acknowledged while they come."""
        payloads = []
        while packets := self.heard():
            for packet in packets:
                if packet.kind == PacketKind.PUBLISH:
                    message = wire.read_publish(packet)
                    payloads.append(message.payload)
                    if acknowledge:
                        self.say(wire.acknowledgement(PacketKind.PUBACK, message.packet_id))
        return payloads


def _filters(body: bytes) -> int:
    count = 0
    while body:
        body = body[3 + int.from_bytes(body[:2], "big") :]
        count += 1
    return count


class World:
    """A Driver whose time passes when the test says so, and whose network is the test."""

    def __init__(self) -> None:
        self.random = random.Random(1)
        self._now_s = 1000.0
        self._timers: list[tuple[float, int, _FakeTimer]] = []
        self._count = itertools.count()
        self.wires: list[Wire] = []
        self.delivered: list[Callable[[], None]] = []

    def now_s(self) -> float:
        return self._now_s

    def wall_s(self) -> float:
        return 1_700_000_000.0 + self._now_s

    def call_on_loop(self, call: Callable[[], None]) -> None:
        call()

    def call_later(self, delay_s: float, call: Callable[[], None]) -> Timer:
        timer = _FakeTimer(call)
        heapq.heappush(self._timers, (self._now_s + max(delay_s, 0), next(self._count), timer))
        return timer

    def dial(self, address: Address, user: ChannelUser) -> Timer:
        self.wires.append(Wire(user))
        return self.wires[-1]

    def deliver(self, call: Callable[[], None]) -> None:
        call()

    def wait(self, started: Callable[[Callable[[], None]], None], timeout_s: float) -> bool:
        finished: list[bool] = []
        started(lambda: finished.append(True))
        return bool(finished)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self._now_s + seconds
        while self._timers and self._timers[0][0] <= end:
            self._now_s, _, timer = heapq.heappop(self._timers)
            if timer.call is not None:
                timer.call()
        self._now_s = end

    def until_dial(self) -> tuple[float, Wire]:
        """Let time pass until the client dials again; how long that took, and the new connection."""
        known, start = len(self.wires), self._now_s
        while len(self.wires) == known:
            self._now_s, _, timer = heapq.heappop(self._timers)
            if timer.call is not None:
                timer.call()
        return self._now_s - start, self.wires[-1]


@pytest.fixture
def new_world(monkeypatch: pytest.MonkeyPatch) -> Callable[[], World]:
    """A fresh world, whose clock is paho's too."""

    def make() -> World:
        world = World()
        monkeypatch.setattr("paho.mqtt.client.time_func", world.now_s)
        return world

    return make


@pytest.fixture
def world(new_world: Callable[[], World]) -> World:
    return new_world()


# --- a link in it ----------------------------------------------------------------------------------------

KEEPALIVE_S = 60
ADDRESS = Address("broker", 1883)


class Client:
    """A link and its owner, which writes down what it is told."""

    def __init__(self, world: World, *, hold_limit: int = 1000, drop_oldest: bool = False) -> None:
        self.world = world
        self.told: list[str] = []
        self.messages: list[tuple[str, bytes, bool]] = []
        self.dropped: list[bytes] = []
        self.greeting: list[Outgoing] = []
        self.extras: list[Subscription] = []
        self.refused: list[tuple[bytes, bool]] = []
        self.instead: Outgoing | None = None
        self.link = MqttLink(
            world,
            ADDRESS,
            SessionSettings("me", KEEPALIVE_S, "user", "secret"),
            self,
            hold_limit=hold_limit,
            drop_oldest=drop_oldest,
        )

    def start(self) -> Any:
        """The connection that the link dials at its start."""
        self.link.start(lambda: self.told.append("first outcome"))
        return self.world.wires[-1]

    def up(self) -> Any:
        return self.start().accept()

    def send(self, *payloads: bytes) -> list[bool]:
        return [self.link.send(("t", payload, False)) for payload in payloads]

    def link_will(self) -> Outgoing | None:
        self.told.append("will")
        return ("me/status", b"dead", True)

    def link_topics(self) -> Sequence[Subscription]:
        return (("a", 1), ("b", 1))

    def link_extras(self) -> Sequence[Subscription]:
        return self.extras

    def link_up(self) -> Sequence[Outgoing]:
        self.told.append("up")
        return self.greeting

    def link_message(self, topic: str, payload: bytes, retained: bool) -> None:
        if payload == b"poison":
            raise RuntimeError("a fault in the owner")
        self.messages.append((topic, payload, retained))

    def link_down(self, reason: str) -> None:
        self.told.append(f"down: {reason}")

    def link_failed(self, reason: str) -> None:
        self.told.append(f"failed: {reason}")

    def link_dropped(self, message: Outgoing) -> None:
        self.dropped.append(message[1])

    def link_refused(self, message: Outgoing, held: bool, reason: str) -> Outgoing | None:
        self.refused.append((message[1], held))
        return self.instead
