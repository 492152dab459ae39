"""A board with slots, a broker and a master that updates it, all in virtual time."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import simpy
from dcompute_sim.brokers.conformance import wire
from dcompute_sim.brokers.conformance.wire import PacketKind
from dcompute_sim.engines.virtual_broker import ModelBroker
from dcompute_sim.fwbuild.firmware_files import product
from dcompute_sim.micropython.board import Board
from dcompute_sim.micropython.emulated_config import emulated_config
from dcompute_sim.micropython.lockstep import LockstepBoard
from dcompute_sim.micropython.provision import Emulator
from dcompute_sim.net.network import Network

from benchmarks.simulated_boards import Speaker
from dcompute._ota import messages
from dcompute._ota.messages import Hello
from dcompute.bundle import Bundle
from dcompute.node_core import Rejected
from dcompute.update_keys import board_key
from dcompute.updates import NodeUpdate

NODE = "board"
KEY = board_key(bytes(32), NODE)
OURS = Bundle.from_folder(product())
KEEPALIVE_S = 20


RELEASES = itertools.count(2)


def version(name: str, confirm_s: int = 20, release: int | None = None, **files: bytes) -> Bundle:
    """Our firmware as another, newer version: tasks.py differs, and what is given (`main_py` is main.py)."""
    changed = {path.replace("__", "/").replace("_py", ".py"): data for path, data in files.items()}
    tasks = OURS.files["tasks.py"] + f"\n# {name}\n".encode()
    return Bundle(
        name,
        {**OURS.files, "tasks.py": tasks, **changed},
        confirm_s,
        next(RELEASES) if release is None else release,
    )


class Bench:
    """One board and who updates it. `run_s` lets time pass; `seen` is what the board published."""

    def __init__(
        self,
        emulator: Emulator,
        heap_kib: float = 256,
        firmware: Path | None = None,
        update_key: bytes | None = None,
        **config: Any,
    ) -> None:
        self.env = simpy.Environment()
        self.network = Network(self.env, 1, 0.005)
        served = ModelBroker(self.network.host("broker", wired=True), self.network.clock)
        served.start()
        assert served.running is not None
        self.broker = served.running
        self.env.process(self._tick())
        self.lines: list[str] = []
        self.stops: list[str] = []
        self.crashes: list[str] = []
        settings = {
            "NODE_ID": NODE,
            "MQTT_KEEPALIVE": KEEPALIVE_S,
            "POLL_MS": 1000,
        }
        board = Board(
            bytes(6),
            [firmware or product()],
            emulated_config("broker", 1883, **settings | config),
            heap_bytes=int(heap_kib * 1024),
            slots=True,
            version="v1",
            release=1,
            update_key=KEY if update_key is None else update_key,
        )
        self.host = self.network.host("node")
        self.board = LockstepBoard(self.env, self.host, emulator, board, self)
        self.flash: Path = self.board.root
        self.update: NodeUpdate | None = None
        self.nonces = itertools.count(1)
        self.seen: list[tuple[str, dict[str, Any]]] = []
        self.sent: list[bytes] = []
        self.attack: Callable[[bytes], list[bytes]] = lambda payload: [payload]  # between master and board
        self.heard: list[bytes] = []  # on the topic `updates`
        self._buffer = bytearray()
        self.master = self.broker.opened(self, 0.0)
        self.say(wire.connect("master", keepalive_s=0) + wire.subscribe(1, [("#", 1)]))

    # --- what the board tells ---

    def started(self, boot: int, reset_cause: int) -> None:
        pass

    def stopped(self, how: str) -> None:
        self.stops.append(how)

    def output(self, line: str) -> None:
        self.lines.append(line)

    def event(self, name: str, fields: dict[str, Any]) -> None:
        if name == "crash":
            self.crashes.append(fields["text"])

    # --- the master ---

    def _tick(self) -> Generator[simpy.Event, Any, None]:
        while True:
            yield self.env.timeout(0.5)
            if self.update is not None:
                self.publish(self.update.tick(self.env.now))

    def write(self, data: bytes) -> None:
        self._buffer += data
        for packet in wire.take_packets(self._buffer):
            if packet.kind is PacketKind.PUBLISH:
                publish = wire.read_publish(packet)
                if publish.qos:
                    self._later(wire.acknowledgement(PacketKind.PUBACK, publish.packet_id))
                self._take(publish.topic, publish.payload)

    def close(self) -> None:
        pass

    def _take(self, topic: str, payload: bytes) -> None:
        if topic == f"{NODE}/update":
            return
        if topic == "updates":
            self.heard.append(payload)
            if self.update is not None:
                with contextlib.suppress(Rejected):
                    self.publish(self.update.received(payload, self.env.now))
            return
        body = json.loads(payload)
        self.seen.append((topic, body))
        if self.update is not None and topic == f"{NODE}/status":
            capabilities = body.get("capabilities", {})
            self.publish(self.update.seen(body["status"], capabilities, self.env.now))

    def publish(self, payloads: list[bytes]) -> None:
        for honest in payloads:
            for payload in self.attack(honest):
                self.sent.append(payload)
                self._later(wire.publish(f"{NODE}/update", payload, qos=1, packet_id=1))

    def _later(self, data: bytes) -> None:
        self.network.clock.call_later(0.001, lambda: self.say(data))

    def say(self, data: bytes) -> None:
        self.broker.received(self.master, data, self.env.now)

    # --- for tests ---

    def run_s(self, seconds: float) -> None:
        self.env.run(until=self.env.now + seconds)

    def until(self, condition: Callable[..., Any], within_s: float = 300) -> None:
        """Let time pass until `condition` holds."""
        end_s = self.env.now + within_s
        while not condition():
            assert self.env.now < end_s, (self.lines[-8:], self.seen[-3:], self.crashes)
            self.run_s(0.25)

    def start(self) -> None:
        """Power on, and wait until the board is ready."""
        count = len(self.seen)
        self.board.start()
        self.until(lambda: any(body.get("status") == "ready" for _, body in self.seen[count:]))

    def begin(
        self, bundle: Bundle, key: bytes = KEY, patience_s: float = 300, back: bool = False
    ) -> NodeUpdate:
        """Begin to bring the board to `bundle`."""
        self.update = NodeUpdate(
            NODE,
            bundle,
            key,
            now_s=self.env.now,
            nonce=lambda: next(self.nonces).to_bytes(16, "big"),
            back=back,
            patience_s=patience_s,
        )
        status = self.status()
        self.publish(self.update.seen(status["status"], status["capabilities"], self.env.now))
        return self.update

    def status(self) -> dict[str, Any]:
        """The retained status."""
        return next(body for topic, body in reversed(self.seen) if topic == f"{NODE}/status")

    def slot(self) -> str:
        return (self.flash / "slot").read_text().strip()

    def contents(self) -> dict[str, bytes]:
        """All files of the flash."""
        return {
            path.relative_to(self.flash).as_posix(): path.read_bytes()
            for path in sorted(self.flash.rglob("*"))
            if path.is_file()
        }

    def restore(self, flash: Path) -> None:
        """Put another flash in."""
        shutil.rmtree(self.flash)
        shutil.copytree(flash, self.flash, symlinks=True)

    def raw(self, payload: bytes) -> None:
        """Publish something on the board's update topic."""
        self.publish([payload])

    def hello(self, key: bytes = KEY) -> Hello:
        """Probe the board, with nobody updating it, and return its answer."""
        self.update = None
        count = len(self.heard)
        self.raw(messages.probe(key, next(self.nonces).to_bytes(16, "big")))
        self.until(lambda: len(self.heard) > count)
        return messages.read_hello(self.heard[-1], NODE, key)


@pytest.fixture
def speaker() -> type[Speaker]:
    return Speaker


NewBench = Callable[..., Bench]
"""Makes benches, with these settings of a board's config.py; see the fixture `bench`."""


@pytest.fixture
def bench(emulator: Emulator) -> Iterator[NewBench]:
    """A function that makes a `Bench`; settings of config.py by keyword."""
    made: list[Bench] = []

    def make(**config: Any) -> Bench:
        made.append(Bench(emulator, **config))
        return made[-1]

    yield make
    for one in made:
        one.board.close()


@pytest.fixture
def make_version() -> Callable[..., Bundle]:
    return version


@pytest.fixture
def key() -> bytes:
    return KEY
