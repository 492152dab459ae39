"""What the firmware tests start from: boards with our firmware, a raw broker that misbehaves, mosquitto."""

from __future__ import annotations

import asyncio
import json
import ssl
import textwrap
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from dcompute_sim.brokers.conformance import wire
from dcompute_sim.brokers.conformance.wire import Packet, PacketKind
from dcompute_sim.brokers.mosquitto import MosquittoBroker
from dcompute_sim.fwbuild.firmware_files import product
from dcompute_sim.micropython.board import Board
from dcompute_sim.micropython.emulated_config import emulated_config
from dcompute_sim.micropython.process import FirmwareProcess
from dcompute_sim.micropython.provision import Emulator
from dcompute_sim.net.proxy import FaultProxy

from ..conftest import PATIENCE_S, News

KEEPALIVE_S = 2


class Heard:
    """What a board prints and tells; `wait` sleeps until a condition holds."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.events: list[tuple[str, Any]] = []
        self._news = News(lambda: (self.lines, self.events))

    def started(self, boot: int, reset_cause: int) -> None:
        self._add("started", boot)

    def stopped(self, how: str) -> None:
        self._add("stopped", how)

    def output(self, line: str) -> None:
        self.lines.append(line)
        self._news.tell()

    def event(self, name: str, fields: dict[str, Any]) -> None:
        self._add(name, fields)

    def _add(self, name: str, fields: Any) -> None:
        self.events.append((name, fields))
        self._news.tell()

    def all(self, name: str) -> list[Any]:
        return [fields for event, fields in self.events if event == name]

    async def wait(self, condition: Callable[..., Any], within_s: float = PATIENCE_S) -> None:
        await self._news.until(condition, within_s)

    async def line(self, part: str, count: int = 1) -> str:
        """The `count`th line that contains `part`, once it is there."""
        await self.wait(lambda: len([line for line in self.lines if part in line]) >= count)
        return [line for line in self.lines if part in line][count - 1]


class Session:
    """One connection to the raw broker."""

    def __init__(self, broker: RawBroker, writer: asyncio.StreamWriter) -> None:
        self.packets: list[Packet] = []
        self.closed = False
        self.malformed = ""
        self._broker = broker
        self._writer = writer

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    def publish(self, topic: str, message: object, packet_id: int = 1) -> None:
        self.send(wire.publish(topic, json.dumps(message).encode(), qos=1, packet_id=packet_id))

    def drop(self) -> None:
        self._writer.transport.abort()

    def of(self, kind: PacketKind) -> list[Packet]:
        return [packet for packet in self.packets if packet.kind is kind]

    def kinds(self) -> list[PacketKind]:
        return [packet.kind for packet in self.packets]

    def published(self, topic: str) -> list[dict[str, Any]]:
        """The JSON published on `topic`, in order."""
        read = [wire.read_publish(packet) for packet in self.of(PacketKind.PUBLISH)]
        return [json.loads(publish.payload) for publish in read if publish.topic == topic]


class RawBroker:
    """Answers as a broker owes, unless told to withhold answers of a kind. Routes nothing."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.port = 0
        self._tls = tls
        self.sessions: list[Session] = []
        self.withhold: set[PacketKind] = set()
        self.largest = 1_000_000  # bytes of a packet; over a larger one it closes, as mosquitto does
        self.on_publish: Callable[[Session, wire.Publish], None] | None = None
        self._news = News(lambda: [(s.kinds(), s.closed, s.malformed) for s in self.sessions])
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for session in self.sessions:
            session.drop()
        await self._server.wait_closed()

    async def until(self, condition: Callable[..., Any], within_s: float = PATIENCE_S) -> None:
        await self._news.until(condition, within_s)

    async def session(self, number: int = 1) -> Session:
        """The `number`th session, once it has published its status."""
        await self.until(
            lambda: (
                len(self.sessions) >= number and len(self.sessions[number - 1].of(PacketKind.PUBLISH)) >= 2
            )
        )
        return self.sessions[number - 1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = Session(self, writer)
        self.sessions.append(session)
        buffer = bytearray()
        try:
            while data := await reader.read(65536):
                buffer += data
                for packet in wire.take_packets(buffer):
                    session.packets.append(packet)
                    self._answer(session, packet)
                self._news.tell()
        except OSError:
            pass
        except (wire.Malformed, IndexError) as error:
            session.malformed = str(error)
            session.drop()
        finally:
            session.closed = True
            self._news.tell()
            writer.close()

    def _answer(self, session: Session, packet: Packet) -> None:
        if packet.kind in self.withhold:
            return
        if len(packet.body) > self.largest:
            session.drop()
            return
        if packet.kind is PacketKind.CONNECT:
            session.send(wire.encode(PacketKind.CONNACK, b"\0\0"))
        elif packet.kind is PacketKind.SUBSCRIBE:
            session.send(wire.encode(PacketKind.SUBACK, packet.body[:2] + b"\1"))
        elif packet.kind is PacketKind.PINGREQ:
            session.send(wire.encode(PacketKind.PINGRESP))
        elif packet.kind is PacketKind.PUBLISH and (publish := wire.read_publish(packet)).qos:
            session.send(wire.acknowledgement(PacketKind.PUBACK, publish.packet_id))
            if self.on_publish is not None:
                self.on_publish(session, publish)


class Rig:
    """Boards and brokers for one test; all end with `async with`."""

    def __init__(self, emulator: Emulator, folder: Path) -> None:
        self.emulator = emulator
        self.folder = folder
        self.firmware = product()
        self._boards = 0
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Rig:
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._stack.aclose()

    def config(self, port: int, **changes: Any) -> dict[str, Any]:
        return emulated_config("127.0.0.1", port, **{"MQTT_KEEPALIVE": KEEPALIVE_S} | changes)

    def start(
        self,
        port: int,
        program: str | None = None,
        *,
        settings: dict[str, Any] | None = None,
        without: Sequence[str] = (),
        extra: Sequence[Path] = (),
        **board: Any,
    ) -> tuple[FirmwareProcess, Heard, str]:
        """A running board, what it tells, and its node id. `program` takes the place of our main.py."""
        self._boards += 1
        files = [self.firmware, *extra]
        if program is not None:
            main = self.folder / f"program{self._boards}" / "main.py"
            main.parent.mkdir()
            main.write_text(textwrap.dedent(program))
            files.append(main)
        config = {k: v for k, v in self.config(port, **(settings or {})).items() if k not in without}
        uid = bytes([2, 0, 0, 0, 0, self._boards])
        heard = Heard()
        described = Board(**{"uid": uid, "files": files, "config": config} | board)
        process = FirmwareProcess(self.emulator, described, heard)
        self._stack.callback(process.close)
        process.start()
        return process, heard, uid.hex()

    async def raw_broker(self, tls: ssl.SSLContext | None = None) -> RawBroker:
        broker = RawBroker(tls)
        await broker.start()
        self._stack.push_async_callback(broker.stop)
        return broker

    async def on_raw_broker(self, program: str | None = None, **how: Any) -> tuple[RawBroker, Heard, str]:
        """A raw broker, what a board that runs on it tells, and its node id; `how` as for `start`."""
        broker = await self.raw_broker()
        _, heard, name = self.start(broker.port, program, **how)
        return broker, heard, name

    async def proxy(self, port: int) -> FaultProxy:
        """A link to the broker on `port` that can be cut."""
        proxy = FaultProxy("node", ("127.0.0.1", port))
        await proxy.start()
        self._stack.push_async_callback(proxy.close)
        return proxy

    async def mosquitto(self) -> MosquittoBroker:
        broker = MosquittoBroker()
        await broker.start()
        self._stack.push_async_callback(broker.stop)
        return broker


@pytest.fixture
def rig(emulator: Emulator, tmp_path: Path) -> Rig:
    return Rig(emulator, tmp_path)


@pytest.fixture
def heard() -> Heard:
    return Heard()


NODE = """
    import config, gc, time
    from compute_node import ComputeNode
    node = ComputeNode(config.MQTT_HOST, config.MQTT_PORT, config.MQTT_KEEPALIVE)
"""

BARE = """
    import config, network, time
    from umqtt.simple import MQTTClient
    wlan = network.WLAN(network.STA_IF)
    wlan.active(True)
    wlan.connect(config.WIFI_SSID, config.WIFI_PASSWORD)
    while not wlan.isconnected():
        time.sleep_ms(20)
    client = MQTTClient(b"bare", config.MQTT_HOST, config.MQTT_PORT, keepalive=config.MQTT_KEEPALIVE)
    got = []
    client.set_callback(lambda topic, message: got.append(message))
"""


@pytest.fixture
def node_program() -> Callable[[str], str]:
    """A main.py that makes `node`, a ComputeNode, and goes on with the text given."""
    return lambda rest: textwrap.dedent(NODE) + textwrap.dedent(rest)


@pytest.fixture
def bare_program() -> Callable[[str], str]:
    """A main.py that makes `client`, umqtt.simple's own, on a joined WLAN, and goes on with the text."""
    return lambda rest: textwrap.dedent(BARE) + textwrap.dedent(rest)


EXAMPLE = """
import config
from compute_node import ComputeNode
import time
node = ComputeNode(broker_host=config.MQTT_HOST, broker_port=config.MQTT_PORT, broker_keepalive=60)
if node.connect():
    node.start_keepalive_thread()
    node.publish_status("ready")
    while True:
        task = node.get_task()
        if task:
            print("Executing:", task)
            result = {"task_id": task["id"], "output": "done"}
            node.send_result(result)
        time.sleep(0.1)
else:
    print("Connection failed")
"""


@pytest.fixture
def example() -> str:
    """The program people are shown, to be run as it stands."""
    return EXAMPLE
