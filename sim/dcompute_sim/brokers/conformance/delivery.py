"""Properties: who gets which message, at which QoS, in which order and how often."""

from __future__ import annotations

import asyncio

from dcompute.parts import number_of
from dcompute_sim.brokers.conformance import judge, wire
from dcompute_sim.brokers.conformance.result import Violation
from dcompute_sim.brokers.conformance.trial import Trial
from dcompute_sim.brokers.conformance.wire import PacketKind

_SETTLE_S = 0.3  # for messages that must not come
_CROWD = 200
_BURST = 300
_PILE = 100

# Filter, topic, whether they match [MQTT section 4.7.1], below a topic of our own
_MATCHES = (
    ("a/b", "a/b", True),
    ("a/b", "a/b/c", False),
    ("a/b", "a/B", False),
    ("a/+", "a/b", True),
    ("a/+", "a/", True),
    ("a/+", "a", False),
    ("a/+", "a/b/c", False),
    ("+/+/c", "a/b/c", True),
    ("+/b", "/b", True),
    ("a/#", "a", True),
    ("a/#", "a/b/c", True),
    ("a/#", "ab", False),
    ("a/+/#", "a/b", True),
    ("a/+/#", "a", False),
    ("+/status", "node-1/status", True),
    ("+/status", "node-1/task", False),
)


async def qos_is_the_lower(bench: Trial) -> str:
    """Check that a message is delivered at min(published QoS, granted QoS) [MQTT-3.8.4-6], without
    exception."""
    publisher = await bench.client("publisher")
    wrong = []
    for granted in range(3):
        subscriber = await bench.subscriber(f"sub-{granted}", bench.topic(f"{granted}", "+"), qos=granted)
        for published in range(3):
            topic = bench.topic(f"{granted}", f"{published}")
            await publisher.publish(topic, b"x", qos=published)
            got = (await subscriber.message(topic)).qos
            if got != min(published, granted):
                wrong.append(f"published {published}, subscribed {granted}, got {got}")
    if wrong:
        raise Violation("; ".join(wrong))
    return "9 pairs"


async def resubscribing_replaces(bench: Trial) -> str:
    """Check that the same filter again replaces the QoS, and sends the retained message again
    [MQTT-3.8.4-3]."""
    topic = bench.retained_topic("t")
    client = await bench.subscriber("client", topic, qos=0)
    await client.publish(topic, b"kept", qos=1, retain=True)
    await client.message(topic, b"kept")
    for number, qos in enumerate((1, 0)):
        before = len(client.on(topic))
        await client.subscribe(topic, qos=qos)
        again = (await client.message_count(topic, before + 1))[before]
        if not again.retain:
            raise Violation("subscribing again did not send the retained message again")
        payload = b"live %d" % number
        await client.publish(topic, payload, qos=1)
        got = await client.message(topic, payload)
        await asyncio.sleep(_SETTLE_S)
        if got.qos != qos:
            raise Violation(f"subscribed again at QoS {qos}, still delivered at QoS {got.qos}")
        if sum(message.payload == payload for message in client.messages) != 1:
            raise Violation("subscribed twice, delivered twice")
    return "0 to 1 to 0"


async def unsubscribing_ends(bench: Trial) -> str:
    left, kept = bench.topic("left"), bench.topic("kept")
    client = await bench.subscriber("client", left, kept)
    await client.unsubscribe(left)
    for topic in (left, kept):
        await client.publish(topic, b"x", qos=1)
    await client.message(kept)
    await asyncio.sleep(_SETTLE_S)
    if client.on(left):
        raise Violation("a message on a topic that was unsubscribed from [MQTT-3.10.4-2]")
    return ""


async def wildcards(bench: Trial) -> str:
    wrong = []
    publisher = await bench.client("publisher")
    for number, (topic_filter, topic, matches) in enumerate(_MATCHES):
        base = bench.topic(str(number))
        subscriber = await bench.subscriber(f"s{number}", f"{base}/{topic_filter}", f"{base}-end")
        await publisher.publish(f"{base}/{topic}", b"x", qos=1)
        await publisher.publish(f"{base}-end", b"", qos=1)
        await subscriber.message(f"{base}-end")
        if bool(subscriber.on(f"{base}/{topic}")) is not matches:
            wrong.append(f"{topic_filter!r} {'did not match' if matches else 'matched'} {topic!r}")
    if wrong:
        raise Violation("; ".join(wrong))
    return f"{len(_MATCHES)} pairs"


async def nothing_unsolicited(bench: Trial) -> str:
    """Check that hundreds of nodes, each with a task topic and a retained status, get their own task each, no
    more."""
    names = [f"node-{number}" for number in range(_CROWD)]
    master = await bench.subscriber("master", bench.topic("+", "status"))
    crowd = []
    for name in names:
        crowd.append(await bench.subscriber(name, bench.topic(name)))
        await crowd[-1].publish(bench.retained_topic(name, "status"), b"ready", qos=1, retain=True)
    for name in names:
        await master.publish(bench.topic(name), name.encode(), qos=1)
    for name, client in zip(names, crowd, strict=True):
        await client.message(bench.topic(name), name.encode())
    await asyncio.sleep(_SETTLE_S)
    strays = sum(len(client.messages) - 1 for client in crowd)
    if strays:
        raise Violation(f"{number_of(strays, 'message')} to clients that did not ask for them")
    return f"{_CROWD} clients"


async def order_of_a_topic(bench: Trial) -> str:
    """Check that messages of one publisher on one topic arrive in the order sent, at QoS 0 and 1
    [MQTT-4.6.0-6]."""
    publisher = await bench.client("publisher")
    for qos in (0, 1):
        topic = bench.topic(str(qos))
        subscriber = await bench.subscriber(f"qos-{qos}", topic, qos=qos)
        ids = [publisher.start_publish(topic, payload, qos=qos) for payload in judge.numbered(_BURST)]
        for packet_id in ids:
            await publisher.finish(packet_id, qos)
        messages = await subscriber.message_count(topic, _BURST)
        if wrong := judge.in_order_once([message.payload for message in messages], _BURST):
            raise Violation(f"QoS {qos}: {wrong}")
    return f"{_BURST} messages at QoS 0 and 1"


async def late_acknowledgements(bench: Trial) -> str:
    """Check that a subscriber may let messages pile up; as it acknowledges them the rest comes, none lost or
    turned."""
    topic = bench.topic("t")
    subscriber = await bench.subscriber("subscriber", topic)
    subscriber.hold_acks = True
    publisher = await bench.client("publisher")
    for payload in judge.numbered(_PILE):
        await publisher.publish(topic, payload, qos=1)
    await asyncio.sleep(_SETTLE_S)
    piled = list(subscriber.on(topic))
    subscriber.hold_acks = False
    for message in piled:
        subscriber.acknowledge(message)
    messages = await subscriber.message_count(topic, _PILE)
    if wrong := judge.in_order_once([message.payload for message in messages], _PILE):
        raise Violation(wrong)
    return f"{len(piled)} of {_PILE} sent ahead"


async def exactly_once(bench: Trial) -> str:
    """Check QoS 2; PUBLISH and PUBREL are sent twice, as by a client that missed the answer
    [MQTT-4.3.3-2]."""
    topic, count = bench.topic("t"), 50
    subscriber = await bench.subscriber("subscriber", topic, qos=2)
    publisher = await bench.client("publisher")
    publisher.hold_release = True
    for payload in judge.numbered(count):
        packet_id = publisher.start_publish(topic, payload, qos=2)
        await publisher.received(PacketKind.PUBREC, packet_id)
        publisher.send(wire.publish(topic, payload, qos=2, dup=True, packet_id=packet_id))
        for _ in range(2):
            publisher.send(wire.acknowledgement(PacketKind.PUBREL, packet_id))
        await publisher.finish(packet_id, qos=2)
    await subscriber.message_count(topic, count)
    await asyncio.sleep(_SETTLE_S)
    if wrong := judge.in_order_once([message.payload for message in subscriber.on(topic)], count):
        raise Violation(wrong)
    return f"{number_of(count, 'message')}, each sent twice"


async def non_ascii(bench: Trial) -> str:
    """Check that topics are UTF-8, payloads any bytes."""
    subscriber = await bench.subscriber("subscriber", bench.topic("узел/+/温度"))
    for name, payload in (("München", "готово 完了 ✓".encode()), ("🛰", bytes(range(256)))):
        topic = bench.topic(f"узел/{name}/温度")
        await subscriber.publish(topic, payload, qos=1)
        got = await subscriber.message(topic)
        if got.payload != payload:
            raise Violation(f"a payload of {len(payload)} bytes arrived as {len(got.payload)} other bytes")
    return ""
