"""Properties: large, split, malformed and many: what a fleet of real boards does to a broker."""

from __future__ import annotations

import asyncio
import time

from dcompute_sim.brokers import open_files
from dcompute_sim.brokers.conformance import wire
from dcompute_sim.brokers.conformance.client import WAIT_S, Client, RefusedByBroker, dial
from dcompute_sim.brokers.conformance.result import NotApplicable, Violation
from dcompute_sim.brokers.conformance.trial import Trial
from dcompute_sim.brokers.conformance.wire import PacketKind

_LARGE_BYTES = 256 * 1024
_SPARE_FILES = 100  # for whatever else this process has open
_HTTP = b"GET / HTTP/1.1\r\nHost: broker\r\nAccept: text/html\r\nUser-Agent: a lost browser\r\n\r\n"
_PUBLISH_QOS_3 = wire.encode(PacketKind.PUBLISH, wire.text("t") + b"\0\1x", flags=0b0110)

# What each sends, and whether it has logged in before
_MALFORMED = (
    ("PUBLISH before CONNECT [MQTT-3.1.0-1]", False, wire.publish("t", b"x")),
    ("no MQTT at all", False, _HTTP),
    (
        "protocol name 'MQTX' [MQTT-3.1.2-1]",
        False,
        wire.encode(PacketKind.CONNECT, b"\0\4MQTX\4\2\0\x3c\0\1x"),
    ),
    ("CONNECT twice [MQTT-3.1.0-2]", True, wire.connect("x")),
    ("a remaining length of five bytes", True, b"\x30\xff\xff\xff\xff\x01"),
    ("PUBLISH with QoS 3 [MQTT-3.3.1-4]", True, _PUBLISH_QOS_3),
    ("PUBLISH to a wildcard [MQTT-3.3.2-2]", True, wire.publish("a/#", b"x")),
    ("a topic that is not UTF-8 [MQTT-1.5.3-1]", True, wire.encode(PacketKind.PUBLISH, b"\0\2\xc3\x28x")),
    ("a topic longer than its packet", True, wire.encode(PacketKind.PUBLISH, b"\xff\xffx")),
    (
        "SUBSCRIBE with flags 0000 [MQTT-3.8.1-1]",
        True,
        wire.encode(PacketKind.SUBSCRIBE, b"\0\1\0\1t\0", flags=0),
    ),
    ("SUBSCRIBE to nothing [MQTT-3.8.3-3]", True, wire.encode(PacketKind.SUBSCRIBE, b"\0\1")),
    ("a reserved packet type", True, b"\xf0\0"),
)


async def large_payload(bench: Trial) -> str:
    topic, payload = bench.topic("t"), bytes(range(256)) * (_LARGE_BYTES // 256)
    subscriber = await bench.subscriber("subscriber", topic)
    publisher = await bench.client("publisher")
    began_s = asyncio.get_running_loop().time()
    await publisher.publish(topic, payload, qos=1)
    got = await subscriber.message(topic)
    if got.payload != payload:
        raise Violation(f"{len(payload)} bytes arrived as {len(got.payload)} others")
    return f"{_LARGE_BYTES // 1024} KiB in {(got.at_s - began_s) * 1e3:.0f} ms"


async def split_and_joined_packets(bench: Trial) -> str:
    """Check that no boundaries are expected of TCP, which keeps none: packets come byte by byte, or many at
    once."""
    topic = bench.topic("t")
    client = await bench.subscriber("client", topic)
    for byte in wire.publish(topic, b"split", qos=1, packet_id=1000):
        client.send(bytes([byte]))
        await asyncio.sleep(0.001)
    await client.message(topic, b"split")
    client.send(b"".join(wire.publish(topic, b"joined %d" % number) for number in range(100)))
    await client.message_count(topic, 101)
    return "byte by byte, and 100 at once"


async def malformed_client(bench: Trial) -> str:
    """Check that whoever breaks the protocol loses its connection [MQTT-4.8.0-1], and nobody else notices."""
    topic = bench.topic("t")
    bystander = await bench.subscriber("bystander", topic)
    clients = [
        await (bench.client if logged_in else bench.dialled)(f"malformed-{number}")
        for number, (_, logged_in, _) in enumerate(_MALFORMED)
    ]
    for client, (_, _, data) in zip(clients, _MALFORMED, strict=True):
        client.send(data)
    closed = await asyncio.gather(*(client.closed_by_broker() for client in clients))
    await bystander.publish(topic, b"alive", qos=1)
    await bystander.message(topic, b"alive")
    left_open = [what for (what, _, _), was_closed in zip(_MALFORMED, closed, strict=True) if not was_closed]
    if left_open:
        raise Violation(f"left connected: {', '.join(left_open)}")
    return f"{len(_MALFORMED)} kinds"


async def many_connections(bench: Trial) -> str:
    """Connect, subscribe and announce all at once, as a fleet comes back. A master hears of each; all
    stay."""
    count, bound_s = bench.target.connections, bench.target.connections_bound_s
    if (limit := open_files.raise_open_files(count + _SPARE_FILES)) < count + _SPARE_FILES:
        raise NotApplicable(f"this process may open {limit} files only; raise `ulimit -n`")
    master = await bench.subscriber("master", bench.topic("+", "status"))
    ready: list[Client] = []

    async def join(number: int) -> None:
        node = await bench.client(f"node-{number}", within_s=bound_s)
        await node.subscribe(bench.topic(str(number)), within_s=bound_s)
        await node.publish(bench.retained_topic(str(number), "status"), b"ready", retain=True)
        ready.append(node)

    began_s = time.perf_counter()
    joined = await asyncio.gather(*(join(number) for number in range(count)), return_exceptions=True)
    took_s = time.perf_counter() - began_s
    figure = f"{len(ready)} of {count} in {took_s:.2f} s"
    if failed := [error for error in joined if error is not None]:
        raise Violation(f"{len(failed)} of {count} did not get in; the first: {failed[0]}", figure)
    await asyncio.gather(*(node.ping(bound_s) for node in ready))
    try:
        await master.until(
            lambda: len({message.topic for message in master.messages}) >= count or None, "status"
        )
    except Violation as violation:
        raise Violation(f"{violation}; {len(master.messages)} of {count} came", figure) from None
    if took_s > bound_s:
        raise Violation(f"slower than {bound_s:g} s", figure)
    return figure


async def wrong_password(bench: Trial) -> str:
    """Check that it is refused with CONNACK code 4 or 5, and closed [MQTT-3.2.2-5]; so is a client without
    any."""
    target = bench.target
    if target.username is None:
        raise NotApplicable("no user and password given in the URL")
    codes = []
    for username, password in ((target.username, f"not {target.password}"), (None, None)):
        client = await dial(target, "intruder")
        packet = wire.connect(f"{target.token}-intruder", username=username, password=password)
        try:
            await client.log_in(packet)
        except RefusedByBroker as refused:
            codes.append(refused.code)
            if refused.code not in (4, 5):
                raise Violation(f"refused with code {refused.code} instead of 4 or 5") from None
            if not await client.closed_by_broker(WAIT_S):
                raise Violation("refused, but left connected") from None
        else:
            raise Violation(f"let in with {'a wrong password' if username else 'no credentials'}")
        finally:
            await client.reset()
    return f"codes {codes[0]} and {codes[1]}"
