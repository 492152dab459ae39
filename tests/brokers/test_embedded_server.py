"""The embedded broker as a whole: who is let in, when silence is death, and what outlives a restart."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dcompute_sim.brokers import passwords
from dcompute_sim.brokers.access import UserRole
from dcompute_sim.brokers.conformance import wire
from dcompute_sim.brokers.conformance.broker_under_test import BrokerUnderTest
from dcompute_sim.brokers.conformance.client import RefusedByBroker, connect, dial
from dcompute_sim.brokers.conformance.wire import ClientWill, PacketKind
from dcompute_sim.brokers.embedded import server
from dcompute_sim.brokers.embedded.streams import PacketWriter
from dcompute_sim.brokers.real_broker import BrokerError, BrokerSecurity

from ..conftest import PATIENCE_S

Serving = Callable[..., AbstractAsyncContextManager[BrokerUnderTest]]


# -- silence


def test_a_client_that_pings_late_but_in_time_lives(serving: Serving) -> None:
    async def main() -> None:
        async with serving("embedded") as target:
            client = await connect(target, "n", keepalive_s=1)
            for _ in range(2):
                assert not await client.closed_by_broker(1.3)
                await client.ping()

    asyncio.run(main())


def test_a_stall_of_the_broker_kills_nobody(serving: Serving) -> None:
    """A ping waits in the socket meanwhile; when the broker goes on, all its timers are due at once."""

    async def main() -> None:
        async with serving("embedded") as target:
            client = await connect(target, "n", keepalive_s=1)
            client.send(wire.encode(PacketKind.PINGREQ))
            time.sleep(1.7)  # the loop is the broker's as well
            assert not await client.closed_by_broker(0.2)
            await client.ping()

    asyncio.run(main())


def test_without_a_keepalive_silence_is_no_death(serving: Serving) -> None:
    async def main() -> None:
        async with serving("embedded") as target:
            client = await connect(target, "n", keepalive_s=0)
            assert not await client.closed_by_broker(0.2)

    asyncio.run(main())


def test_goodbye_leaves_no_will(serving: Serving) -> None:
    async def main() -> None:
        async with serving("embedded") as target:
            watching = await connect(target, "watching")
            await watching.subscribe("n/status")
            client = await connect(target, "n", will=ClientWill("n/status", b"dead"))
            await client.disconnect()
            other = await connect(target, "m", will=ClientWill("n/status", b"other"))
            await other.reset()
            await watching.message("n/status", b"other")
            assert len(watching.messages) == 1

    asyncio.run(main())


def test_a_clone_war_has_one_survivor(serving: Serving) -> None:
    """30 connections with one client id at once: the takeovers queue up, and the last one is served."""

    async def main() -> None:
        async with serving("embedded") as target:
            clones = await asyncio.gather(*(dial(target, f"clone{n}") for n in range(30)))
            packet = wire.connect("n", will=ClientWill("n/status", b"dead"))
            await asyncio.gather(*(clone.log_in(packet) for clone in clones), return_exceptions=True)
            async with asyncio.timeout(PATIENCE_S):
                while sum(clone.closed_at_s is None for clone in clones) > 1:
                    await asyncio.sleep(0.01)
            (survivor,) = (clone for clone in clones if clone.closed_at_s is None)
            await survivor.ping()

    asyncio.run(main())


def test_random_bytes_disturb_nobody(serving: Serving) -> None:
    """Mutilated packets of 200 clients, among them well-formed ones, beside one who goes on working."""
    rng = random.Random(7)
    packets = [
        wire.publish("t/x", b"payload", qos=2, packet_id=3, retain=True),
        wire.subscribe(5, [("t/#", 2)]),
        wire.unsubscribe(5, ["t/#"]),
        *(
            wire.acknowledgement(kind, 9)
            for kind in (PacketKind.PUBACK, PacketKind.PUBREC, PacketKind.PUBREL, PacketKind.PUBCOMP)
        ),
    ]

    async def vandal(target: BrokerUnderTest, number: int) -> None:
        client = await (connect if number % 2 else dial)(target, f"vandal{number}")
        data = bytearray(b"".join(rng.choices(packets, k=5)))
        for _ in range(3):
            data[rng.randrange(len(data))] = rng.randrange(256)
        client.send(bytes(data))
        await client.closed_by_broker(0.05)
        await client.reset()

    async def main() -> None:
        async with serving("embedded") as target:
            worker = await connect(target, "worker")
            await worker.subscribe("work")
            for _ in range(20):
                await asyncio.gather(*(vandal(target, number) for number in range(10)))
                await worker.publish("work", b"x", qos=1)
            await worker.message_count("work", 20)

    asyncio.run(main())


def test_a_client_that_does_not_read_holds_up_nobody(serving: Serving) -> None:
    async def main() -> None:
        async with serving("embedded") as target:
            reader, writer = await asyncio.open_connection(target.host, target.port, limit=1024)
            writer.write(wire.connect("deaf") + wire.subscribe(1, [("t", 0)]))
            await reader.readexactly(4 + 5)  # and nothing any more
            watching = await connect(target, "watching")
            await watching.subscribe("t", qos=0)
            publisher = await connect(target, "publisher")
            for _ in range(200):
                await publisher.publish("t", bytes(100_000))
            await watching.message_count("t", 200, 10)

    asyncio.run(main())


def test_small_messages_leave_at_once(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without TCP_NODELAY a QoS 1 round trip takes 44 ms. asyncio sets it; should it not, this tells."""
    set_on: list[int] = []

    class Watched(PacketWriter):
        def __init__(self, stream: asyncio.StreamWriter) -> None:
            super().__init__(stream)
            accepted = stream.get_extra_info("socket")
            set_on.append(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    monkeypatch.setattr(server, "PacketWriter", Watched)

    async def main() -> None:
        async with serving("embedded") as target:
            await connect(target, "n")

    asyncio.run(main())
    assert set_on == [1]


# -- memory


def test_memory_outlives_a_restart(serving: Serving, tmp_path: Path) -> None:
    async def before() -> None:
        async with serving("embedded", state=tmp_path / "memory") as served:
            target = replace(served, token="same ids")
            kept = await connect(target, "kept", clean=False)
            await kept.subscribe("t", "u/#", qos=2)
            kept.hold_acks = True
            clean = await connect(target, "clean")
            await clean.subscribe("t")
            publisher = await connect(target, "publisher", will=ClientWill("n/status", b"dead", retain=True))
            await publisher.publish("status", b"\xff\0", qos=1, retain=True)
            await publisher.publish("t", b"in flight", qos=1)
            await kept.message("t", b"in flight")
            kept.hold_release = True
            kept.send(wire.publish("u/x", b"unreleased", qos=2, packet_id=77))
            await kept.received(PacketKind.PUBREC, 77)
            await kept.reset()
            await publisher.publish("u/v", b"waiting", qos=2)

    async def after() -> None:
        async with serving("embedded", state=tmp_path / "memory") as served:
            target = replace(served, token="same ids")
            kept = await connect(target, "kept", clean=False)
            assert kept.session_present
            first, second = await kept.message("t"), await kept.message("u/v")
            assert (first.payload, first.dup) == (b"in flight", True)
            assert (second.payload, second.qos, second.dup) == (b"waiting", 2, False)
            kept.send(wire.acknowledgement(PacketKind.PUBREL, 77))
            await kept.message("u/x", b"unreleased")
            publisher = await connect(target, "publisher")
            await publisher.publish("u/w", b"subscribed still", qos=1)
            await kept.message("u/w")
            clean = await connect(target, "clean", clean=False)
            assert not clean.session_present
            await clean.subscribe("#", qos=1)
            await clean.publish("end", b"", qos=1)
            await clean.message("end")
            assert [(message.topic, message.payload) for message in clean.messages if message.retain] == [
                ("status", b"\xff\0")
            ]

    asyncio.run(before())
    asyncio.run(after())


@pytest.mark.parametrize("content", [b"", b"{}", b'{"retained": [], "sessions": [{}]}', b"\xff"])
def test_an_unusable_state_file_is_named(serving: Serving, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "memory").write_bytes(content)

    async def main() -> None:
        async with serving("embedded", state=tmp_path / "memory"):
            pass

    with pytest.raises(BrokerError, match=r"state file .*memory: .*delete it"):
        asyncio.run(main())


# -- credentials


def test_only_known_users_get_in(serving: Serving, tmp_path: Path) -> None:
    passwords.set_user(tmp_path / "users", "anna", "right", UserRole.ANY)
    security = BrokerSecurity(password_file=tmp_path / "users")

    async def main() -> None:
        async with serving("embedded", security=security) as served:

            def target(user: str | None, password: str | None) -> BrokerUnderTest:
                return BrokerUnderTest(served.host, served.port, served.token, user, password)

            await (await connect(target("anna", "right"), "n")).ping()
            for user, password in (
                ("anna", "wrong"),
                ("anna", None),
                ("otto", "right"),
                ("", ""),
                (None, None),
            ):
                with pytest.raises(RefusedByBroker) as refused:
                    await connect(target(user, password), "m")
                assert refused.value.code == 5

    asyncio.run(main())


async def is_let_in(target: BrokerUnderTest) -> bool:
    try:
        reader, writer = await asyncio.open_connection(target.host, target.port, ssl=target.tls)
        writer.write(wire.connect("m"))
        answer = await reader.read(4)  # with TLS 1.3 only this tells that the certificate was refused
        writer.close()
    except OSError:
        return False
    return answer == wire.encode(PacketKind.CONNACK, b"\0\0")


def test_tls_with_client_certificates(serving: Serving, authority: Callable[[str], Any]) -> None:
    ours, foreign = authority("ours"), authority("foreign")
    certificate, key = ours.issue("broker")
    security = BrokerSecurity(certificate=certificate, key=key, client_ca=ours.file)

    def trusting(own: tuple[Path, Path] | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=ours.file)
        context.check_hostname = False
        if own is not None:
            context.load_cert_chain(*own)
        return context

    async def main() -> None:
        async with serving("embedded", security=security) as served:

            def target(own: tuple[Path, Path] | None) -> BrokerUnderTest:
                return BrokerUnderTest(served.host, served.port, served.token, tls=trusting(own))

            client = await connect(target(ours.issue("node")), "n")
            await client.subscribe("t")
            await client.publish("t", bytes(300_000), qos=1)
            assert (await client.message("t")).payload == bytes(300_000)
            for own in (None, foreign.issue("stranger")):
                assert not await is_let_in(target(own))
            assert not await is_let_in(served)  # without TLS
            await client.ping()

    asyncio.run(main())
