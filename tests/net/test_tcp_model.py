"""TCP in virtual time against its contract, over any interleaving of faults; and its determinism."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import simpy
from dcompute_sim.net.network import Network
from dcompute_sim.net.profile import LINUX, LWIP_ESP32
from dcompute_sim.net.sockets import Socket, Stream
from dcompute_sim.net.tcp_connection import GONE
from hypothesis import given, settings
from hypothesis import strategies as st

WAITS = st.tuples(st.just("wait"), st.sampled_from([0.001, 0.001, 0.02, 0.02, 0.3, 1.0, 30.0, 1000.0]))
SENDS = st.tuples(st.sampled_from(["node sends", "broker sends"]), st.sampled_from([1, 10, 300, 4000]))
READS = st.tuples(st.just("node reads"), st.sampled_from([1, 100, 5000]))
LINK_FAULTS = ["down", "drop", "up", "up", "broker-down", "broker-up", "slow", "far", "near"]
ENDS = ["reset", "node-crash", "node-close", "node-power-cut", "node-power-on"]
ENDS += ["broker-close", "broker-abort", "broker-power-cut", "broker-power-on"]
LINK_STEPS = st.tuples(st.sampled_from(LINK_FAULTS), st.just(0))
END_STEPS = st.tuples(st.sampled_from(ENDS), st.just(0))
# Much traffic, some trouble with the link, and (after the first block) an end of every kind.
STEPS = st.builds(
    lambda early, late: early + late,
    st.lists(st.one_of(SENDS, WAITS, SENDS, WAITS, READS, LINK_STEPS), min_size=8, max_size=60),
    st.lists(st.one_of(SENDS, WAITS, READS, LINK_STEPS, END_STEPS), max_size=12),
)


class _Run:
    """One connection, driven by random steps; each side's bytes are a known sequence."""

    def __init__(self, seed: int, jitter_s: float, loss: float, esp32: bool) -> None:
        self.env = simpy.Environment()
        self.network = Network(self.env, seed)
        self.broker = self.network.host("broker")
        self.node = self.network.host("node", LWIP_ESP32 if esp32 else LINUX)
        self.node.slow(0.01, jitter_s, loss=loss)
        self.stream: Stream | None = None
        self.at_broker = bytearray()
        self.at_node = bytearray()
        self.sent_by_node = 0
        self.sent_by_broker = 0
        self.ended: dict[str, OSError | None] = {}  # how each program saw the connection end
        self.timeline: list[tuple[float, str, int]] = []
        self.broker.listen(1883, self._accepted)
        self.socket: Socket = self.node.connect("broker", 1883, self._connected)

    def _connected(self, error: OSError | None) -> None:
        if error is not None:
            self.ended["node"] = error

    def _accepted(self, stream: Stream) -> None:
        self.stream = stream
        stream.on_data = self._at_broker
        stream.on_closed = lambda error: self.ended.__setitem__("broker", error)

    def _at_broker(self, data: bytes) -> None:
        assert "broker" not in self.ended
        self.at_broker += data
        self.timeline.append((self.env.now, "broker", len(data)))

    def read(self, n_bytes: int) -> None:
        try:
            data = self.socket.recv(n_bytes)
        except BlockingIOError:
            return
        except OSError as error:
            self.ended["node"] = error
            return
        if not data:
            self.ended["node"] = None
        self.at_node += data
        self.timeline.append((self.env.now, "node", len(data)))

    def step(self, kind: str, amount: float) -> None:
        if kind == "wait":
            self.env.run(until=self.env.now + amount)
        elif kind == "node sends":
            with contextlib.suppress(OSError):
                self.sent_by_node += self.socket.send(_bytes(self.sent_by_node, int(amount)))
        elif kind == "broker sends":
            if self.stream is not None and self.stream.is_open:
                self.stream.write(_bytes(self.sent_by_broker, int(amount)))
                self.sent_by_broker += int(amount)
        elif kind == "node reads":
            self.read(int(amount))
        else:
            self._fault(kind)

    def _fault(self, kind: str) -> None:
        node, broker, stream = self.node, self.broker, self.stream
        actions: dict[str, Any] = {
            "down": node.link.down,
            "drop": node.link.drop,
            "up": node.link.up,
            "slow": lambda: node.slow(0.3, 0.1, 6_000),
            "far": lambda: node.slow(2.0),
            "near": lambda: node.slow(0.01),
            "reset": node.reset_connections,
            "node-crash": node.crash,
            "node-close": self.socket.close,
            "node-power-cut": node.power_cut,
            "node-power-on": node.power_on,
            "broker-down": broker.link.down,
            "broker-up": broker.link.up,
            "broker-close": stream.close if stream else lambda: None,
            "broker-abort": stream.abort if stream else lambda: None,
            "broker-power-cut": broker.power_cut,
            "broker-power-on": broker.power_on,
        }
        actions[kind]()

    def heal(self) -> None:
        """Everything works again; long enough for every retransmission and every give-up."""
        for host in (self.node, self.broker):
            host.link.up()
            host.slow(0.01)
            host.power_on()
        self.env.run(until=self.env.now + 3000)
        while self.socket.unread_bytes:
            self.read(65_536)
            self.env.run(until=self.env.now + 1)
        self.read(1)  # to see an end, if there was one


# A fixed sequence in which a gap, a repetition or an exchange shows.
_SEQUENCE = random.Random("bytes").randbytes(1_000_000)


def _bytes(start: int, count: int) -> bytes:
    return _SEQUENCE[start : start + count]


RUNS = {
    "seed": st.integers(0, 5),
    "jitter_s": st.sampled_from([0.0, 0.05]),
    "loss": st.sampled_from([0.0, 0.2]),
    "esp32": st.booleans(),
}


@settings(max_examples=1000, deadline=None)
@given(steps=STEPS, **RUNS)
def test_bytes_arrive_once_in_order_or_the_connection_ends(
    steps: list[tuple[str, float]], **how: Any
) -> None:
    run = _Run(**how)
    for kind, amount in [("wait", 5.0), *steps]:
        run.step(kind, amount)
    run.heal()
    assert run.at_broker == _bytes(0, len(run.at_broker))
    assert run.at_node == _bytes(0, len(run.at_node))
    assert len(run.at_broker) <= run.sent_by_node
    assert len(run.at_node) <= run.sent_by_broker

    if not run.ended and not {kind for kind, _ in steps} & set(ENDS):
        assert len(run.at_broker) == run.sent_by_node, "a healed connection delivers what was accepted"
        assert len(run.at_node) == run.sent_by_broker
    for end in (run.socket, run.stream):
        if end is not None and end.state == GONE:
            assert not end.is_watched


@settings(max_examples=200, deadline=None)
@given(steps=STEPS, **RUNS)
def test_the_same_seed_gives_the_same_timeline(steps: list[tuple[str, float]], **how: Any) -> None:
    timelines = []
    for _ in range(2):
        run = _Run(**how)
        for kind, amount in steps:
            run.step(kind, amount)
        run.heal()
        timelines.append((run.timeline, run.env.now))
    assert timelines[0] == timelines[1]


def _digest_of_a_busy_network(seed: int) -> str:
    """Many hosts with jitter, loss and faults: every delivery with its time."""
    env = simpy.Environment()
    network = Network(env, seed, latency_s=0.005, jitter_s=0.02)
    seen = hashlib.sha256()

    def accepted(stream: Stream) -> None:
        def data(data: bytes) -> None:
            seen.update(f"{env.now!r} {data!r}\n".encode())
            stream.write(data[::-1])

        stream.on_data = data

    network.host("broker", wired=True).listen(1883, accepted)
    names = [f"node-{number}" for number in range(30)]
    sockets = {name: network.host(name).connect("broker", 1883) for name in names}
    for turn in range(40):
        env.run(until=env.now + 0.25)
        for name, socket in sockets.items():
            try:
                socket.send(f"{name} {turn}".encode())
                seen.update(socket.recv(100))
            except OSError as error:
                seen.update(type(error).__name__.encode())
        victim = network.host(names[turn * 7 % 30])
        (victim.link.down, victim.link.up, victim.reset_connections, victim.power_cut)[turn % 4]()
    return seen.hexdigest()


def test_the_timeline_does_not_depend_on_the_hash_seed() -> None:
    script = (
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('model', {str(Path(__file__))!r})\n"
        "model = importlib.util.module_from_spec(spec); spec.loader.exec_module(model)\n"
        "print(model._digest_of_a_busy_network(7))\n"
    )
    root = str(Path(__file__).parents[2] / "sim")
    digests = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": root},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert digests == {_digest_of_a_busy_network(7) + "\n"}
    assert _digest_of_a_busy_network(8) + "\n" not in digests


def test_another_host_does_not_disturb_the_others() -> None:
    def arrivals(with_stranger: bool) -> list[float]:
        env = simpy.Environment()
        network = Network(env, 3, latency_s=0.01, jitter_s=0.05)
        at: list[float] = []

        def accepted(stream: Stream) -> None:
            if stream.connection.name == "node":
                stream.on_data = lambda _data: at.append(env.now)

        network.host("broker", wired=True).listen(1, accepted)
        if with_stranger:
            stranger = network.host("stranger").connect("broker", 1)
        socket = network.host("node").connect("broker", 1)
        for _ in range(20):
            env.run(until=env.now + 1)
            socket.send(b"x")
            if with_stranger:
                stranger.send(b"y")
        env.run(until=env.now + 1)
        return at

    assert arrivals(True) == arrivals(False)
