"""What one client may do to the embedded broker and its other clients: each bound was missing once."""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import SimpleNamespace
from typing import Any

import pytest
from dcompute_sim.brokers.conformance import wire
from dcompute_sim.brokers.conformance.broker_under_test import BrokerUnderTest
from dcompute_sim.brokers.conformance.client import connect, dial
from dcompute_sim.brokers.conformance.wire import ClientWill, PacketKind
from dcompute_sim.brokers.embedded import framing
from dcompute_sim.brokers.embedded.corrected_broker import CorrectedBroker

from ..conftest import PATIENCE_S

Serving = Callable[..., AbstractAsyncContextManager[BrokerUnderTest]]

BOTH = pytest.mark.parametrize("kind", ["embedded", "model"])


def run(serving: Serving, kind: str, scene: Callable[[BrokerUnderTest], object]) -> None:
    async def main() -> None:
        async with serving(kind) as target:  # leaving it ends the broker: it must obey
            await scene(target)  # type: ignore[misc]

    asyncio.run(asyncio.wait_for(main(), PATIENCE_S))


@BOTH
@pytest.mark.parametrize("levels", [200, 1_500, 30_000])
def test_a_will_on_a_very_deep_topic_locks_nobody_out(serving: Serving, kind: str, levels: int) -> None:
    """1,500 levels: a recursion too deep, after which the client id was taken for ever and SIGTERM without
    effect."""

    async def scene(target: BrokerUnderTest) -> None:
        topic = "/".join("x" * levels)
        watcher = await connect(target, "watcher")  # its filter makes the tree that is gone through
        watcher.send(wire.subscribe(1, [(topic, 0)]))
        await watcher.closed_by_broker(0.3)
        client = await dial(target, "n")
        will = ClientWill(topic, b"dead")
        client.send(wire.connect(f"{target.token}-n", will=will))
        await client.closed_by_broker(0.5)
        await client.reset()
        again = await connect(target, "n")
        await again.ping()
        await again.disconnect()

    run(serving, kind, scene)


@BOTH
@pytest.mark.parametrize("packet", ["publish", "subscribe"])
def test_very_deep_topics_end_the_connection_that_named_them(
    serving: Serving, kind: str, packet: str
) -> None:
    async def scene(target: BrokerUnderTest) -> None:
        client = await connect(target, "n")
        topic = "/".join("x" * 1_500)
        if packet == "publish":
            client.send(wire.publish(topic, b"x", qos=0, packet_id=0))
        else:
            client.send(wire.subscribe(1, [(topic, 0)]))
        assert await client.closed_by_broker()

    run(serving, kind, scene)


@BOTH
def test_who_has_not_logged_in_may_not_send_more_than_a_connect(serving: Serving, kind: str) -> None:
    async def scene(target: BrokerUnderTest) -> None:
        stranger = await dial(target, "stranger")
        stranger.send(b"\x10\xff\xff\xff\x7f\x00\x04MQTT")  # "256 MB are to come"
        assert await stranger.closed_by_broker()
        client = await connect(target, "n")
        await client.subscribe("t")
        await client.publish("t", bytes(framing.MAX_CONNECT_BYTES + 1000), qos=1)
        assert len((await client.message("t")).payload) > framing.MAX_CONNECT_BYTES

    run(serving, kind, scene)


@BOTH
def test_messages_never_released_are_bounded(serving: Serving, kind: str) -> None:
    async def scene(target: BrokerUnderTest) -> None:
        client = await connect(target, "n")
        client.hold_release = True
        for packet_id in range(1, 1_010):
            client.send(wire.publish("t", b"x", qos=2, packet_id=packet_id))
        assert await client.closed_by_broker()

    run(serving, kind, scene)


@BOTH
@pytest.mark.parametrize(
    ("qos", "kind_of_acknowledgement"),
    [(1, PacketKind.PUBREC), (1, PacketKind.PUBCOMP), (2, PacketKind.PUBACK), (2, PacketKind.PUBCOMP)],
)
def test_the_wrong_kind_of_acknowledgement_ends_the_connection(
    serving: Serving, kind: str, qos: int, kind_of_acknowledgement: PacketKind
) -> None:
    async def scene(target: BrokerUnderTest) -> None:
        client = await connect(target, "n")
        client.hold_acks = True
        await client.subscribe("t", qos=qos)
        await client.publish("t", b"x", qos=qos)
        message = await client.message("t")
        client.send(wire.acknowledgement(kind_of_acknowledgement, message.packet_id))
        assert await client.closed_by_broker()

    run(serving, kind, scene)


@BOTH
@pytest.mark.parametrize(
    ("name", "level", "answer"),
    [
        ("MQIsdp", 3, b"\x20\x02\x00\x01"),
        ("MQTT", 3, b"\x20\x02\x00\x01"),
        ("MQTT", 5, b"\x20\x03\x00\x84\x00"),
    ],
)
def test_other_versions_are_refused_with_a_connack_they_understand(
    serving: Serving, kind: str, name: str, level: int, answer: bytes
) -> None:
    async def scene(target: BrokerUnderTest) -> None:
        reader, writer = await asyncio.open_connection(target.host, target.port)
        properties = b"\x00" if level == 5 else b""
        body = wire.text(name) + bytes([level, 2, 0, 60]) + properties + wire.text("c")
        writer.write(wire.encode(PacketKind.CONNECT, body))
        assert await asyncio.wait_for(reader.read(), PATIENCE_S) == answer
        writer.close()

    run(serving, kind, scene)


def test_a_subscription_over_many_retained_topics_holds_nobody_up() -> None:
    """An unrelated wildcard over 200,000 topics took 1.9 s, in which nobody was served."""

    async def main() -> float:
        broker = CorrectedBroker({})
        for number in range(20_000):
            await broker.retain_message(None, f"many/{number}/status", b"x", 0)
        client: Any = SimpleNamespace(
            outbox=SimpleNamespace(send=lambda *message, retain: sent.append(message))
        )
        began_s = time.process_time()
        broker.send_retained(client, "other/+/status", 0)
        took_s = time.process_time() - began_s
        broker.send_retained(client, "many/+/status", 0)
        for number in range(20_000):
            await broker.retain_message(None, f"many/{number}/status", b"", 0)
        broker.send_retained(client, "#", 0)
        return took_s

    sent: list[object] = []
    assert asyncio.run(main()) < 0.02  # by looking at each topic: 0.19 s
    assert len(sent) == 20_000


def test_a_client_that_is_remembered_weighs_little(serving: Serving) -> None:
    """38 KiB each once: a state machine, two queues, and all of a connection that was over."""

    async def come_and_go(target: BrokerUnderTest, numbers: range) -> None:
        for number in numbers:
            client = await connect(target, f"kept-{number}", clean=False)
            await client.subscribe(f"t/{number}")
            await client.disconnect()

    async def scene(target: BrokerUnderTest) -> None:
        await come_and_go(target, range(20))
        gc.collect()
        tracemalloc.start()
        try:
            await come_and_go(target, range(20, 80))
            gc.collect()
            assert tracemalloc.get_traced_memory()[0] / 60 < 10 * 1024
        finally:
            tracemalloc.stop()
        again = await connect(target, "kept-50", clean=False)
        await again.publish("t/70", b"for one who is away", qos=1)
        absent = await connect(target, "kept-70", clean=False)
        assert (await absent.message("t/70")).payload == b"for one who is away"

    run(serving, "embedded", scene)
