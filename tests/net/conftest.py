"""What the tests of the networks share: a recorder of what an observer is told, and little worlds."""

from __future__ import annotations

import itertools
import sys
import types
from collections.abc import Callable, Iterator

import pytest
import simpy
from dcompute_sim.net.network import Host, Network
from dcompute_sim.net.sockets import Socket, Stream

_numbers = itertools.count()


class Recorder:
    """A WireObserver that writes everything down."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []
        self.missed_s: list[float] = []  # of each that stalled
        self.late_missed_s: list[float] = []  # of each that is late

    def opened(self, name: str, conn: int) -> None:
        self.told.append(("opened", name, conn))

    def closed(self, name: str, conn: int, how: str, by: str, quiet_s: float) -> None:
        self.told.append(("closed", name, conn, how, by))

    def held(self, name: str, direction: str, n_bytes: int) -> None:
        self.told.append(("held", name, direction, n_bytes))

    def stalled(self, name: str, conn: int, missed_s: float) -> None:
        self.told.append(("stalled", name, conn))
        self.missed_s.append(missed_s)

    def resumed(self, name: str, conn: int) -> None:
        self.told.append(("resumed", name, conn))

    def late(self, name: str, conn: int, late_s: float, missed_s: float) -> None:
        self.told.append(("late", name, conn, round(late_s, 3)))
        self.late_missed_s.append(missed_s)

    def refused(self, name: str, how: str) -> None:
        self.told.append(("refused", name, how))

    def of(self, kind: str) -> list[tuple[object, ...]]:
        """What was told of one kind, without the kind."""
        return [entry[1:] for entry in self.told if entry[0] == kind]


class World:
    """A broker's host that listens on port 1883 and remembers, and a node's host; 10 ms one way."""

    def __init__(self, **network: object) -> None:
        self.env = simpy.Environment()
        self.observer = Recorder()
        options = {"seed": 1, "latency_s": 0.01, "observer": self.observer, **network}
        self.network = Network(self.env, **options)  # type: ignore[arg-type]
        self.broker = self.network.host("broker", wired=True)
        self.node = self.network.host("node")
        self.streams: list[Stream] = []
        self.received: list[bytes] = []  # of each accepted stream
        self.closed: list[tuple[float, OSError | None]] = []
        self.listener = self.broker.listen(1883, self._accept)

    def _accept(self, stream: Stream) -> None:
        index = len(self.streams)
        self.streams.append(stream)
        self.received.append(b"")

        def data(data: bytes) -> None:
            self.received[index] += data

        stream.on_data = data
        stream.on_closed = lambda error: self.closed.append((self.env.now, error))

    def run(self, seconds: float) -> None:
        self.env.run(until=self.env.now + seconds)

    def connect(self, host: Host | None = None) -> Socket:
        """A socket that is connected, some time later."""
        socket = (host or self.node).connect("broker", 1883)
        self.run(0.1)
        assert socket.is_open
        return socket


@pytest.fixture
def make_world() -> Callable[..., World]:
    return World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def make_module() -> Iterator[Callable[[str], types.ModuleType]]:
    """Make an importable module of a source text."""
    made: list[str] = []

    def make(source: str) -> types.ModuleType:
        module = types.ModuleType(f"net_test_module_{next(_numbers)}")
        exec(source, module.__dict__)
        sys.modules[module.__name__] = module
        made.append(module.__name__)
        return module

    yield make
    for name in made:
        del sys.modules[name]
