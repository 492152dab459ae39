"""What 8,000 hostile messages and a million mutated packets do to master, node, board and brokers.

Nothing may raise, nobody who behaves may lose a connection, memory stays bounded, and others are served
meanwhile. Hostile messages go over a broker without access rules, from a client that may write to any topic;
mutated packets go over TCP to brokers that serve a master and a node beside, and directly to what reads them
(`hostile_packets.py`). `tests/dcompute/test_hostile.py` runs a share.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import socket
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcompute_sim.brokers.broker_process import BrokerProcess
from dcompute_sim.brokers.conformance import wire
from dcompute_sim.brokers.managed import ManagedBroker
from dcompute_sim.brokers.mosquitto import MosquittoBroker
from dcompute_sim.fwbuild.firmware_files import product
from dcompute_sim.micropython.board import Board
from dcompute_sim.micropython.emulated_config import emulated_config
from dcompute_sim.micropython.process import FirmwareProcess
from dcompute_sim.micropython.provision import provision
from dcompute_sim.micropython.unavailable import EmulatorUnavailable

from benchmarks.figures import Figure
from benchmarks.hostile_packets import (
    FROM_CLIENT,
    mutate_board,
    mutate_clients,
    mutate_embedded,
    mutate_model,
    mutated,
)
from dcompute.master_transport import MasterNodeTransport
from dcompute.node_transport import ComputeNodeTransport
from dcompute.records import NodeInfo

MESSAGES = 8_000
PACKETS = 1_000_000
_GROWN_MIB = 100.0  # what a broker or this process may have grown by
_PATIENCE_S = 60.0
_GHOSTS = 100_000

_TEXTS = ["", "n", "board", "ready", "dead", "\x00", "\ud7ff", "é" * 300, "a/b", "+", "#", "x" * 5_000]
_VALUES: list[Any] = [
    *(None, True, False, 0, -1, 10**30, 1e308, "", [], {}, [[[[[[]]]]]]),
    *({"node_id": "n"}, "a" * 70_000, list(range(500))),
]
_KEYS = (
    *("node_id", "status", "inc", "capabilities", "device_type", "result", "task_id", "attempt", "id"),
    *("priority", "n", "open", "boot", "from", "cancel", "settle", "expires_s", "task_info", "timestamp"),
)


def hostile_message(rng: random.Random, node: str) -> tuple[str, bytes]:
    """A topic that somebody reads, and something that is not what is read there."""
    topics = ["initialisation", "results", "updates", node, f"{node}/status", f"{node}/update"]
    topic = rng.choice([*topics, f"ghost-{rng.randrange(500)}/status"])
    kind = rng.randrange(5)
    if kind == 0:
        return topic, rng.randbytes(rng.randrange(400))
    if kind == 1:
        depth = rng.choice((17, 200, 20_000))
        return topic, b"[" * depth + b"]" * depth
    body = {rng.choice(_KEYS): rng.choice(_VALUES) for _ in range(rng.randrange(8))}
    body |= {"node_id": rng.choice([node, "ghost", *_TEXTS]), "inc": rng.choice(["", "z.1", "z" * 200])}
    if topic == node:  # what is a task in truth would be done
        body |= {"priority": rng.choice([0, 11, "7", None, True, [1]])}
    if topic == f"{node}/status":
        body["status"] = rng.choice(["busy", "", 7, None, "x" * 65, {"a": 1}])
        body["node_id"] = rng.choice(["ghost", 5, None])
    payload = json.dumps(body).encode("utf-8", "surrogatepass")
    if kind == 2:
        at = rng.randrange(len(payload))
        return topic, payload[:at] + rng.randbytes(1) + payload[at + 1 :]
    return (topic, payload[: rng.randrange(len(payload))]) if kind == 3 else (topic, payload)


class _Faults(logging.Handler):
    """Counts what the log has of exceptions."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += record.exc_info is not None


@contextlib.contextmanager
def _quiet_log() -> Iterator[_Faults]:
    log = logging.getLogger("dcompute")
    faults = _Faults()
    log.addHandler(faults)
    propagate, log.propagate = log.propagate, False
    try:
        yield faults
    finally:
        log.removeHandler(faults)
        log.propagate = propagate


@dataclass
class Withstood:
    """What became of a broker and of those beside the attacker."""

    exceptions: int = 0
    reconnections: int = 0
    unserved: int = 0
    grown_mib: float = 0.0
    board: str = ""
    slowest_ms: float = 0.0


class _Bystanders:
    """A master, a node and perhaps a board, which are to be served as if nothing was."""

    def __init__(self, port: int) -> None:
        self.node = ComputeNodeTransport("127.0.0.1", port, "n", install_signal_handlers=False)
        self.master = MasterNodeTransport("127.0.0.1", port)

    def start(self) -> None:
        for transport in (self.node, self.master):
            if not transport.start():
                raise RuntimeError(transport.last_error)
        _wait(lambda: bool(self.master.get_nodes_by_status("ready")))

    def ask(self, found: Withstood, timeout_s: float = 20.0) -> None:
        """One task there and its result back."""
        began_s = time.monotonic()
        task = self.master.send_task("n", {"function": "f"})
        try:
            _wait(lambda: self._answered(task), timeout_s)
        except TimeoutError:
            found.unserved += 1
        found.slowest_ms = max(found.slowest_ms, 1000 * (time.monotonic() - began_s))

    def _answered(self, task: str) -> bool:
        while (taken := self.node.get_task()) is not None:
            self.node.send_result("done", taken["id"])
        results = self.master.get_results("n", disposable=True).get("n", [])
        return any(record["task_id"] == task for record in results)

    def close(self, found: Withstood) -> None:
        for transport in (self.node, self.master):
            found.reconnections += transport.counters()["connections"] - 1
            transport.kill()


def _seen(master: MasterNodeTransport, node_id: str) -> NodeInfo:
    """What the master knows of a node, and of one that it does not know."""
    unknown = NodeInfo(node_id=node_id, status="", device_type="", last_seen=0.0, inc="", capabilities={})
    return master.get_node_info(node_id) or unknown


def _wait(condition: Any, within_s: float = _PATIENCE_S) -> None:
    give_up_s = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > give_up_s:
            raise TimeoutError
        time.sleep(0.002)


def _rss_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 2**20


class _Told:
    """What the board tells."""

    def __init__(self) -> None:
        self.boots = 0
        self.crashes: list[str] = []

    def started(self, boot: int, reset_cause: int) -> None:
        self.boots += 1

    def stopped(self, how: str) -> None: ...
    def output(self, line: str) -> None:
        if line.startswith("Traceback"):
            self.crashes.append(line)

    def event(self, name: str, fields: dict[str, Any]) -> None: ...


async def withstand_messages(kind: str, count: int, *, with_board: bool, seed: int = 4) -> Withstood:
    """Let a client say hostile things on a broker of this kind, and see what becomes of the others."""
    found = Withstood()
    broker: ManagedBroker = MosquittoBroker() if kind == "mosquitto" else BrokerProcess(kind)
    await broker.start()
    board, told = None, _Told()
    others = _Bystanders(broker.port)
    with _quiet_log() as faults:
        try:
            await asyncio.to_thread(others.start)
            if with_board:
                board = _board(broker.port, told)
                board.start()
                await asyncio.to_thread(_wait, lambda: _seen(others.master, "board")["status"] == "ready")
                before = _seen(others.master, "board")["inc"]
            grown_mib = _rss_mib(broker.pid)
            await asyncio.to_thread(_attack, broker.port, count, seed, others, found)
            found.grown_mib = _rss_mib(broker.pid) - grown_mib
            if board is not None:
                after = _seen(others.master, "board")["inc"]
                found.board = (
                    "unharmed" if after == before and told.boots == 1 and not told.crashes else "hurt"
                )
        except EmulatorUnavailable as error:
            found.board = f"not there: {error}"
        finally:
            others.close(found)
            if board is not None:
                board.close()
            await broker.stop()
        found.exceptions = faults.count
    return found


def _board(port: int, told: _Told) -> FirmwareProcess:
    config = emulated_config("127.0.0.1", port, NODE_ID="board", MQTT_KEEPALIVE=10)
    return FirmwareProcess(provision(), Board(bytes(6), [product()], config), told)


def _attack(port: int, count: int, seed: int, others: _Bystanders, found: Withstood) -> None:
    """Say it all, a message at a time as the broker takes it; a task of the others every so often."""
    rng = random.Random(seed)
    with socket.create_connection(("127.0.0.1", port)) as link:
        link.sendall(wire.connect("attacker", keepalive_s=0))
        for number in range(count):
            topic, payload = hostile_message(rng, rng.choice(["n", "board"]))
            retain = rng.random() < 0.05
            link.sendall(wire.publish(topic, payload, retain=retain))
            if number % max(1, count // 20) == 0:
                others.ask(found)
        others.ask(found)


async def withstand_packets(kind: str, count: int, seed: int = 5) -> Withstood:
    """Send mutated packets over TCP, a few on each connection."""
    found = Withstood()
    broker: ManagedBroker = MosquittoBroker() if kind == "mosquitto" else BrokerProcess(kind)
    await broker.start()
    others = _Bystanders(broker.port)
    with _quiet_log() as faults:
        try:
            await asyncio.to_thread(others.start)
            grown_mib = _rss_mib(broker.pid)
            await asyncio.to_thread(_mutate, broker.port, count, seed, others, found)
            found.grown_mib = _rss_mib(broker.pid) - grown_mib
        finally:
            others.close(found)
            await broker.stop()
        found.exceptions = faults.count
    return found


def _mutate(port: int, count: int, seed: int, others: _Bystanders, found: Withstood) -> None:
    rng = random.Random(seed)
    done = 0
    while done < count:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as link:
            link.settimeout(1)
            begun = [FROM_CLIENT[0].replace(b"\0\1c", b"\0\1m", 1)] if rng.random() < 0.8 else []
            link.sendall(b"".join(begun))
            for _ in range(20):
                done += 1
                link.sendall(mutated(rng, rng.choice(FROM_CLIENT)))
        if done // 20 % max(1, count // 400) == 0:
            others.ask(found)
    others.ask(found)


@dataclass(frozen=True)
class Flooded:
    """What a master without access rules keeps of those who make nodes up, and what that costs."""

    ghosts_mib: float
    large_mib: float
    results_mib: float
    getter_ms: float
    result_us: float
    served_ms: float


async def flood_master() -> Flooded:
    """Let an attacker announce, and give statuses of, 100,000 nodes; send 200 capabilities of 199 KB, and so
    many of the largest that are taken, of what takes most memory; and results that nobody collects."""
    broker = MosquittoBroker()
    await broker.start()
    try:
        return await asyncio.to_thread(_flood, broker.port)
    finally:
        await broker.stop()


def _flood(port: int) -> Flooded:
    others = _Bystanders(port)
    logging.getLogger("dcompute").setLevel(logging.ERROR)
    try:
        others.start()
        with socket.create_connection(("127.0.0.1", port)) as link:
            link.sendall(wire.connect("attacker", keepalive_s=0))

            def say(topic: str, **fields: Any) -> None:
                link.sendall(wire.publish(topic, json.dumps(fields).encode()))

            def turn(number: int) -> None:
                """What was said is heard: a broker drops what a client is too slow for."""
                say("attacker/status", node_id="attacker", status="busy", inc=f"a.{number}")
                _wait(lambda: _seen(others.master, "attacker")["inc"] == f"a.{number}")

            def results(first: int, count: int) -> None:
                for number in range(first, first + count):
                    say("results", node_id="attacker", result=number, inc="a.1")
                    if number % 500 == 0:
                        turn(number)
                turn(first + count)

            turn(0)
            with _kept() as ghosts:
                for number in range(_GHOSTS):
                    about = {"node_id": f"g-{number}", "inc": "z.1", "capabilities": {"a": [number]}}
                    say("initialisation", status="connected", **about)
                    say(f"g-{number}/status", status="ready", **about)
                    if number % 250 == 0:
                        turn(number)
            with _kept() as large:
                for number in range(200):
                    too_large = {"a": "x" * 199_000}
                    say("initialisation", node_id=f"l-{number}", status="connected", capabilities=too_large)
                    turn(number)
                for number in range(1_500):
                    fill: Any = {
                        "a": [number, *[{}] * 4_000]
                    }  # of all that is written in 16 KiB this takes most
                    named = {"node_id": f"g-{number}", "status": "busy", "inc": "z.1"}
                    say(f"g-{number}/status", **named, capabilities=fill)
                    if number % 50 == 0:
                        turn(number)
            with _kept() as uncollected:
                results(0, 110_000)
            began_s = time.process_time()
            others.master.get_node_info()
            getter_ms = 1000 * (time.process_time() - began_s)
            began_s = time.process_time()
            results(110_000, 10_000)
            result_us = 1e6 * (time.process_time() - began_s) / 10_000
        found = Withstood()
        others.ask(found)
        return Flooded(ghosts[0], large[0], uncollected[0], getter_ms, result_us, found.slowest_ms)
    finally:
        others.close(Withstood())


@contextlib.contextmanager
def _kept() -> Iterator[list[float]]:
    """How many MiB Python objects made meanwhile take in the end."""
    kept: list[float] = []
    tracemalloc.start()
    try:
        yield kept
        kept.append(tracemalloc.get_traced_memory()[0] / 2**20)
    finally:
        tracemalloc.stop()


def measure() -> list[Figure]:
    """All figures."""
    figures = []
    for kind in ("embedded", "model", "mosquitto"):
        found = asyncio.run(withstand_messages(kind, MESSAGES, with_board=True))
        figures += _figures(f"{MESSAGES:,} messages, {kind}", found)
        figures.append(
            Figure(f"{MESSAGES:,} messages, {kind}: boards hurt", found.board != "unharmed", "", "at_most", 0)
        )
    for kind in ("embedded", "model", "mosquitto"):
        found = asyncio.run(withstand_packets(kind, PACKETS))
        figures += _figures(f"{PACKETS:,} packets over TCP, {kind}", found)
    board = mutate_board(PACKETS)
    for name, raised in (
        ("master's and node's sessions", mutate_clients(PACKETS)),
        ("board", board.raised),
        ("model broker", mutate_model(PACKETS)),
        ("embedded broker's reader", mutate_embedded(PACKETS)),
    ):
        figures.append(Figure(f"{PACKETS:,} mutated packets, {name}: raised", raised, "", "at_most", 0))
    figures += [
        Figure(f"{PACKETS:,} mutated packets, board: heap grown by", board.grown_bytes, "B", "at_most", 4096),
        Figure(f"{PACKETS:,} mutated packets, board: takes no task", not board.serves, "", "at_most", 0),
    ]
    flooded = asyncio.run(flood_master())
    return [
        *figures,
        Figure(f"a master: kept of {_GHOSTS:,} made-up nodes", flooded.ghosts_mib, "MiB", "at_most", 64),
        Figure("a master: kept of large capabilities", flooded.large_mib, "MiB", "at_most", 100),
        Figure("a master: kept of results nobody collects", flooded.results_mib, "MiB", "at_most", 100),
        Figure("a master: get_node_info() then, of CPU", flooded.getter_ms, "ms", "at_most", 1000),
        Figure("a master: a result past 100,000, sent and taken", flooded.result_us, "us", "at_most", 500),
        Figure("a master: a task of its own then", flooded.served_ms, "ms"),
    ]


def _figures(what: str, found: Withstood) -> list[Figure]:
    return [
        Figure(f"{what}: exceptions", found.exceptions, "", "at_most", 0),
        Figure(f"{what}: reconnections of others", found.reconnections, "", "at_most", 0),
        Figure(f"{what}: tasks of others not done", found.unserved, "", "at_most", 0),
        Figure(f"{what}: slowest of them", found.slowest_ms, "ms"),
        Figure(f"{what}: broker grown by", found.grown_mib, "MiB", "at_most", _GROWN_MIB),
    ]
