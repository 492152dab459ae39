"""A million mutated packets, given to what reads them directly: sessions of master and node with what is
behind them, a board's link under MicroPython, the model broker, the embedded broker's reader.

A mutated packet may end the connection that it came by; it may not raise anything else, nor be kept.
`benchmarks/hostile.py` sends them to brokers over TCP, with others beside.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dcompute_sim.brokers.conformance import wire
from dcompute_sim.brokers.model import Broker
from dcompute_sim.fwbuild.firmware_files import layout, product
from dcompute_sim.micropython.provision import provision

from dcompute.node_core import NodeCore
from dcompute.parts import PahoSession, Registry, SessionSettings
from dcompute.protocol import Rejected, Topics, decode

Mutate = Callable[[int], int]

_A_CONNECTION = 20  # packets
_ON_BOARD = Path(__file__).with_name("hostile_board.py")
_BOARD_HEAP_BYTES = 128 << 10


def mutated(rng: random.Random, packet: bytes) -> bytes:
    """The packet with some bytes changed, cut, doubled or put in."""
    data = bytearray(packet)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(4):
            case 0 if at < len(data):
                data[at] = rng.randrange(256)
            case 1:
                del data[at : at + rng.randrange(1, 6)]
            case 2:
                data[at:at] = rng.randbytes(rng.randrange(1, 6))
            case _:
                data += data[: rng.randrange(1, 20)]
    return bytes(data)


FROM_BROKER = (
    wire.encode(wire.PacketKind.CONNACK, b"\0\0"),
    wire.encode(wire.PacketKind.SUBACK, b"\0\1\1\1"),
    wire.encode(wire.PacketKind.PINGRESP),
    wire.acknowledgement(wire.PacketKind.PUBACK, 1),
    wire.publish("n/status", b'{"node_id": "n", "status": "ready"}', qos=1, packet_id=7),
    wire.publish("results", b'{"node_id": "n", "result": 1}', qos=2, packet_id=8),
    wire.publish("n", b'{"id": "t"}', qos=0),
)
_TO_BOARD = tuple(packet for packet in FROM_BROKER if packet[0] & 0xF6 != 0x34)  # QoS 2 always ends it
FROM_CLIENT = (
    wire.connect("c", keepalive_s=9, will=wire.ClientWill("c/status", b"dead", qos=1, retain=True)),
    wire.subscribe(1, [("a/+", 1), ("b/#", 0)]),
    wire.unsubscribe(2, ["a/+"]),
    wire.publish("a/b", b"payload", qos=1, packet_id=3),
    wire.publish("a/b", b"payload", qos=2, packet_id=4, retain=True),
    wire.acknowledgement(wire.PacketKind.PUBREL, 4),
    wire.encode(wire.PacketKind.PINGREQ),
    wire.encode(wire.PacketKind.DISCONNECT),
)


class _Listener:
    """Takes what a session tells as a master and a node do; what that may raise is the sender's fault."""

    def __init__(self) -> None:
        self.registry, self.topics = Registry(), Topics("")
        self.core = NodeCore("n", "x", "b00t", ring_size=(4, 2, 1024))
        self.core.will()
        self.core.greeting()

    def session_message(self, topic: str, payload: bytes, retained: bool) -> None:
        for _ in self.core.receive(topic, payload):
            pass
        while self.core.take() is not None:
            pass
        with contextlib.suppress(Rejected):
            self.registry.receive(
                decode(self.topics, topic, payload), retained=retained, now_s=0.0, wall_s=0.0
            )

    def session_accepted(self) -> None: ...
    def session_subscribed(self) -> None: ...
    def session_extra(self, topic: str, granted: bool) -> None: ...
    def session_acknowledged(self, mid: int) -> None: ...
    def session_ended(self, reason: str) -> None: ...


def mutate_clients(count: int, seed: int = 1) -> int:
    """Feed sessions of master and node, and what is behind them, with mutated packets; how many raised."""
    rng = random.Random(seed)
    listener = _Listener()
    raised = 0
    for _ in range(0, count, _A_CONNECTION):
        session = PahoSession(SessionSettings("n", 60), ("n/status", b"dead", True), listener)
        session.open(lambda data: None)
        session.feed(FROM_BROKER[0])
        for _ in range(_A_CONNECTION):
            try:
                session.feed(mutated(rng, rng.choice(FROM_BROKER)))
            except Exception:
                logging.exception("a session raised")
                raised += 1
        session.abandon()
    return raised


@dataclass(frozen=True)
class BoardWithstood:
    """What became of a board: what ended its connections that is no word of the network's, how much its heap
    has grown, whether it took a genuine task at the end."""

    raised: int
    grown_bytes: int
    serves: bool


def mutate_board(count: int, seed: int = 6) -> BoardWithstood:
    """Have the firmware's link, reader and core, under MicroPython, read mutated packets."""
    rng = random.Random(seed)
    emulator = provision()
    with tempfile.TemporaryDirectory() as flash:
        for name, source in layout([product()]).items():
            placed = Path(flash, name)
            placed.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, placed)
        board = subprocess.Popen(
            [*emulator.argv, "-X", f"heapsize={_BOARD_HEAP_BYTES}", str(_ON_BOARD)],
            env={"MICROPYPATH": f"{flash}:{emulator.umqtt}:.frozen"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert board.stdin is not None
        for _ in range(0, count, _A_CONNECTION):
            chunk = b"".join(mutated(rng, rng.choice(_TO_BOARD)) for _ in range(_A_CONNECTION))
            board.stdin.write(len(chunk).to_bytes(2, "big") + chunk)
        said, _ = board.communicate(b"\0\0")
    told = json.loads(said)
    for what, times in told["raised"].items():
        logging.error("the board, %d times: %s", times, what)
    in_use = told["in_use"]
    return BoardWithstood(sum(told["raised"].values()), max(in_use) - in_use[0], told["serves"])


class _Port:
    def write(self, data: bytes) -> None: ...
    def close(self) -> None: ...


def mutate_model(count: int, seed: int = 2) -> int:
    """Feed the model broker with mutated packets of clients that come and go; how many raised."""
    rng = random.Random(seed)
    broker = Broker()
    raised = done = 0
    now_s = 0.0
    while done < count:
        connection = broker.opened(_Port(), now_s)
        sent = [FROM_CLIENT[0]] if rng.random() < 0.7 else []
        sent += [mutated(rng, rng.choice(FROM_CLIENT)) for _ in range(10)]
        for data in sent:
            done += 1
            now_s += 0.001
            try:
                broker.received(connection, data, now_s)
            except Exception:
                logging.exception("the model raised")
                raised += 1
        broker.lost(connection, now_s)
        if len(broker.sessions) > 1_000:  # kept ones, whose ids were mutated: another broker
            broker = Broker()
    return raised


def mutate_embedded(count: int, seed: int = 3) -> int:
    """Have the embedded broker read mutated packets; how many raised what does not end the connection."""
    from dcompute_sim.brokers.embedded.client_connection import decode
    from dcompute_sim.brokers.embedded.framing import MalformedPacket

    rng = random.Random(seed)

    async def read_all() -> int:
        raised = 0
        for _ in range(count):
            whole = bytearray(mutated(rng, rng.choice(FROM_CLIENT)))
            with contextlib.suppress(wire.Malformed):
                for packet in wire.take_packets(whole):
                    framed = wire.encode(packet.kind, packet.body)
                    try:
                        await decode(bytes([framed[0] & 0xF0 | packet.flags]) + framed[1:])
                    except MalformedPacket:
                        pass
                    except Exception:
                        logging.exception("the embedded broker's reader raised")
                        raised += 1
        return raised

    return asyncio.run(read_all())
