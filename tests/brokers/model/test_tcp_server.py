"""The model over TCP and TLS: credentials, memory over a restart, slow readers, a clean end."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from dcompute_sim.brokers import passwords
from dcompute_sim.brokers.access import UserRole
from dcompute_sim.brokers.conformance import PropertyOutcome, check, wire
from dcompute_sim.brokers.conformance.broker_under_test import BrokerUnderTest
from dcompute_sim.brokers.conformance.client import Client, RefusedByBroker, connect, dial
from dcompute_sim.brokers.conformance.wire import ClientWill, PacketKind
from dcompute_sim.brokers.model import tcp_server
from dcompute_sim.brokers.real_broker import BrokerError, BrokerSecurity

from ...conftest import PATIENCE_S
from ..conftest import Serving

DEAD = ClientWill("will", b"dead", qos=1, retain=True)


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, PATIENCE_S))


def test_silence_is_noticed_on_time(serving: Serving) -> None:
    async def test() -> None:
        async with serving("model") as target:
            watcher = await connect(target, "watcher")
            await watcher.subscribe("will")
            silent = await connect(target, "silent", keepalive_s=1, will=DEAD)
            message = await watcher.message("will")
            assert 1.5 <= message.at_s - silent.last_sent_s < 2.5
            assert await silent.closed_by_broker()

    run(test())


def test_a_stall_of_the_broker_kills_nobody(serving: Serving) -> None:
    """A ping waits in the socket meanwhile: it must be read before the timer that is due is believed."""

    async def test() -> None:
        async with serving("model") as target:
            client = await connect(target, "a", keepalive_s=1)
            client.send(wire.encode(PacketKind.PINGREQ))
            time.sleep(1.7)  # the loop is the broker's as well
            assert not await client.closed_by_broker(0.2)
            await client.ping()

    run(test())


@pytest.mark.parametrize("kind", ["model", "embedded"])
def test_the_password_file_decides(serving: Serving, tmp_path: Path, kind: str) -> None:
    """By the very bytes of a password [MQTT-3.1.3.5]: what is no UTF-8 equals no text of the file, neither
    what Python would show of it nor the text with replacement characters."""
    file = tmp_path / "passwords"
    passwords.set_user(file, "node", "right", UserRole.ANY)
    passwords.set_user(file, "shown", r"b'\xff'", UserRole.ANY)
    passwords.set_user(file, "replaced", "\ufffd", UserRole.ANY)

    async def test() -> None:
        async with serving(kind, security=BrokerSecurity(password_file=file)) as target:

            async def log_in(user: str | None, password: str | bytes | None) -> None:
                client = await dial(target, "a")
                try:
                    await client.log_in(wire.connect("a", username=user, password=password))
                finally:
                    await client.reset()

            await log_in("node", "right")
            for user, password in (
                ("node", "wrong"),
                ("nobody", "right"),
                ("node", None),
                (None, None),
                ("", ""),
                ("shown", b"\xff"),
                ("replaced", b"\xff"),
            ):
                with pytest.raises(RefusedByBroker, match="code 5"):
                    await log_in(user, password)

    run(test())


@pytest.mark.parametrize("content", ["node:plain-text\n", "node\n"])
def test_a_password_file_that_is_none_is_named(serving: Serving, tmp_path: Path, content: str) -> None:
    file = tmp_path / "passwords"
    file.write_text(content)

    async def test() -> None:
        with pytest.raises(BrokerError, match="passwords:1"):
            async with serving("model", security=BrokerSecurity(password_file=file)):
                pass

    run(test())


def test_tls(serving: Serving, authority: Callable[[str], Any]) -> None:
    trusted = authority("authority")
    certificate, key = trusted.issue("localhost")
    security = BrokerSecurity(certificate=certificate, key=key)

    async def test() -> None:
        async with serving("model", security=security) as target:
            context = ssl.create_default_context(cafile=str(trusted.file))
            safe = BrokerUnderTest("localhost", target.port, target.token, tls=context)
            rows = await check(safe, ["exactly-once", "large-payload", "will-on-reset"])
            assert [row for row in rows if row.outcome is not PropertyOutcome.PASSED] == []

    run(test())


def test_memory_survives_a_restart(serving: Serving, tmp_path: Path) -> None:
    """Retained messages, kept sessions; and the wills of those connected when it stopped."""
    state = tmp_path / "memory.json"

    async def test() -> None:
        async with serving("model", state=state) as target:
            kept = await connect(target, "kept", clean=False)
            await kept.subscribe("t", qos=1)
            await kept.disconnect()
            publisher = await connect(target, "publisher", will=DEAD)
            await publisher.publish("t", b"queued", qos=1, retain=True)
        assert await publisher.closed_by_broker()
        async with serving("model", state=state) as again:
            same = BrokerUnderTest(again.host, again.port, target.token)
            back = await connect(same, "kept", clean=False)
            assert back.session_present
            assert (await back.message("t")).payload == b"queued"
            watcher = await connect(same, "watcher")
            await watcher.subscribe("#")
            assert (await watcher.message("t")).payload == b"queued"
            assert (await watcher.message("will")).payload == b"dead"

    run(test())


def test_memory_that_cannot_be_read_is_named(serving: Serving, tmp_path: Path) -> None:
    state = tmp_path / "memory.json"
    state.write_text("nonsense")

    async def test() -> None:
        with pytest.raises(BrokerError, match=r"memory\.json.*remove it"):
            async with serving("model", state=state):
                pass

    run(test())
    assert state.read_text() == "nonsense"


async def _deaf_subscriber(target: BrokerUnderTest, qos: int) -> socket.socket:
    """Subscribes, and never reads another byte; a small receive buffer, so that its broker notices soon."""
    loop = asyncio.get_running_loop()
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.setblocking(False)
    await loop.sock_connect(deaf, (target.host, target.port))
    await loop.sock_sendall(deaf, wire.connect("deaf", will=DEAD) + wire.subscribe(1, [("flood", qos)]))
    received = b""
    while len(received) < 9:  # CONNACK and SUBACK
        received += await loop.sock_recv(deaf, 9 - len(received))
    return deaf


def test_a_slow_reader_holds_nobody_up_and_is_held_to_a_bound(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """QoS 0 is dropped for it alone; it stays connected and gets the rest once it reads again."""
    monkeypatch.setattr(tcp_server, "CONGESTED_BYTES", 64 << 10)
    monkeypatch.setattr(tcp_server, "HOPELESS_BYTES", 1 << 20)
    count, payload = 400, os.urandom(32 << 10)

    async def test() -> None:
        async with serving("model") as target:
            watcher = await connect(target, "watcher")
            await watcher.subscribe("flood", "will")
            with await _deaf_subscriber(target, qos=0) as deaf:
                publisher = await connect(target, "publisher")
                for _ in range(count):
                    await publisher.publish("flood", payload, qos=1)
                await watcher.message_count("flood", count)
                assert not watcher.on("will")
                loop = asyncio.get_running_loop()
                await loop.sock_sendall(deaf, wire.encode(PacketKind.PINGREQ))
                received = bytearray()
                while not received.endswith(b"\xd0\0"):
                    received += await loop.sock_recv(deaf, 1 << 20)
                delivered = len(list(wire.take_packets(received))) - 1
                assert 0 < delivered < count

    run(test())


def test_a_hopeless_reader_is_disconnected(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp_server, "CONGESTED_BYTES", 64 << 10)
    monkeypatch.setattr(tcp_server, "HOPELESS_BYTES", 1 << 20)

    async def test() -> None:
        async with serving("model") as target:
            watcher = await connect(target, "watcher")
            await watcher.subscribe("will")
            with await _deaf_subscriber(target, qos=1):
                publisher = await connect(target, "publisher")
                for _ in range(20):
                    await publisher.publish("flood", bytes(1 << 20), qos=1)
                await watcher.message("will")

    run(test())


def test_both_ends_send_without_delay(serving: Serving) -> None:
    """Without TCP_NODELAY a QoS 1 round trip took 44 ms: Nagle's algorithm waits for a delayed ACK."""

    async def test() -> None:
        async with serving("model") as target:
            client = await connect(target, "a")
            await client.subscribe("t")
            loop = asyncio.get_running_loop()
            began_s = loop.time()
            for number in range(50):
                await client.publish("t", b"%d" % number, qos=1)
                await client.message("t", b"%d" % number)
            assert (loop.time() - began_s) / 50 < 0.02

    run(test())


def test_stopping_ends_every_connection(serving: Serving) -> None:
    async def test() -> None:
        clients: list[Client] = []
        async with serving("model") as target:
            clients += [await connect(target, "a"), await dial(target, "says nothing")]
        for client in clients:
            assert await client.closed_by_broker()

    run(test())


def test_stopping_does_not_wait_for_a_mute_tls_client(
    serving: Serving, self_signed: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS closes by a handshake of its own, for which asyncio would wait 30 s."""
    monkeypatch.setattr(tcp_server, "CLOSE_GRACE_S", 0.1)
    certificate, key = self_signed
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE

    async def test() -> None:
        async with serving("model", security=BrokerSecurity(certificate=certificate, key=key)) as target:
            reader, writer = await asyncio.open_connection(target.host, target.port, ssl=trusting)
            writer.write(wire.connect("mute"))
            await reader.readexactly(4)
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            stopping_s = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - stopping_s < 5.0
        writer.transport.abort()

    run(test())
