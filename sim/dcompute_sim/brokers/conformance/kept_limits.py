"""Properties: limits that a broker keeps quiet about, as its defaults are and as its operator has set them.

None of them breaks the standard, so none is a failure but where nothing at all can be relied on; each that
costs a fleet messages in silence is a warning, with what to set in that broker's own words.
"""

from __future__ import annotations

import asyncio

from dcompute.parts import noun
from dcompute_sim.brokers import open_files
from dcompute_sim.brokers.conformance.client import WAIT_S, Client
from dcompute_sim.brokers.conformance.result import NotApplicable, Violation, Warned
from dcompute_sim.brokers.conformance.trial import Trial
from dcompute_sim.brokers.conformance.wire import ClientWill

_SETTLE_S = 0.5  # without a message for so long, no more come
_IN_FLIGHT = 150
_SIZES = (16, 64, 256, 1024)  # KiB
_NEEDED_KIB = 64
_SPARE_FILES = 100
_REFUSED = 0x80

_SET = {
    "mosquitto": {
        "queued": "in mosquitto.conf: max_queued_messages 0, or as many as you have nodes, and some",
        "packet": "in mosquitto.conf: max_packet_size 0, or leave it out",
        "access": "look at acl_file in mosquitto.conf: it needs `topic readwrite {topic}` for this user",
    },
    "EMQX": {
        "queued": "in emqx.conf: mqtt.max_mqueue_len = infinity, or as many as you have nodes",
        "packet": "in emqx.conf: mqtt.max_packet_size = 1MB",
        "access": "look at the authorization rules: they need {topic} for publish and subscribe of this user",
    },
    "HiveMQ": {
        "queued": "in config.xml: <queued-messages><max-queue-size> as large as you have nodes, and some",
        "packet": "in config.xml: <packets><max-packet-size>",
        "access": "look at the permissions of this user: they need {topic}",
    },
    "": {
        "queued": "let more messages wait for a client, as many as you have nodes",
        "packet": "allow larger packets",
        "access": "the access rules must let this user read and write {topic}",
    },
}


async def in_flight_limit(bench: Trial) -> str:
    """Measure how many messages a client may leave unacknowledged before the next one waits."""
    topic = bench.topic("t")
    subscriber = await bench.client("subscriber")
    subscriber.hold_acks = True
    await subscriber.subscribe(topic)
    publisher = await bench.client("publisher")
    await _publish_all(publisher, [topic] * _IN_FLIGHT)
    count = await _settled(subscriber)
    for message in list(subscriber.messages):
        subscriber.acknowledge(message)
    return f"{count} unacknowledged" if count < _IN_FLIGHT else f"{count} unacknowledged, or more"


async def queue_limit(bench: Trial) -> str:
    """Measure how many messages wait for a client that is away; the rest is dropped, although it was
    acknowledged."""
    count, topic = 2 * bench.target.connections, bench.topic("t")
    away = await bench.client("away", clean=False)
    await away.subscribe(topic)
    await away.disconnect()
    await _publish_all(await bench.client("publisher"), [topic] * count)
    back = await bench.client("away", clean=False)
    came = await _settled(back)
    if came < count:
        raise Warned(
            f"of {count:,} {noun(count, 'message')} for a client that was away "
            f"{count - came:,} were dropped though the "
            f"broker had acknowledged them; {await _advice(bench, 'queued')}",
            f"{came:,} wait",
        )
    return f"{came:,} wait, or more"


async def packet_limit(bench: Trial) -> str:
    """Measure the largest message that arrives; over a larger one brokers close the connection."""
    topic, largest, closed = bench.topic("t"), 0, False
    subscriber = await bench.subscriber("subscriber", topic)
    for kib in _SIZES:
        publisher = await bench.client(f"publisher-{kib}")
        payload = bytes(kib * 1024)
        try:
            await publisher.publish(topic, payload, qos=1)
            await subscriber.message(topic, payload)
        except Violation:
            closed = publisher.closed_at_s is not None or subscriber.closed_at_s is not None
            break
        largest = kib
    figure = f"{largest} KiB" + (" or more" if largest == _SIZES[-1] else "")
    if largest < _NEEDED_KIB:
        how = "the connection is closed over it" if closed else "it is dropped in silence"
        raise Warned(f"of a larger message, {how}; {await _advice(bench, 'packet')}", figure)
    return figure


async def retained_replay(bench: Trial) -> str:
    """Measure what a master that comes late is told of a large fleet: all of it at QoS 0, and how much at QoS
    1."""
    count = 2 * bench.target.connections
    topics = [bench.retained_topic(str(number), "status") for number in range(count)]
    await _publish_all(await bench.client("keeper"), topics, retain=True)
    came = []
    for qos in (0, 1):
        late = await bench.subscriber(f"late-{qos}", bench.topic("+", "status"), qos=qos)
        came.append(await _settled(late, count))
    return await _judged(bench, came, count, "retained messages")


async def mass_death(bench: Trial) -> str:
    """Measure how many wills of clients that die in one moment reach a master, at QoS 0 and at QoS 1."""
    count = 2 * bench.target.connections
    try:
        open_files.raise_open_files(count + _SPARE_FILES)
    except OSError as error:
        raise NotApplicable(str(error)) from None
    watchers = [
        await bench.subscriber(f"watcher-{qos}", bench.topic("+", "status"), qos=qos) for qos in (0, 1)
    ]
    nodes = []
    for start in range(0, count, 200):
        nodes += await asyncio.gather(*(_mortal(bench, n) for n in range(start, min(count, start + 200))))
    await asyncio.gather(*(node.reset() for node in nodes))
    came = [await _settled(watcher, count) for watcher in watchers]
    return await _judged(bench, came, count, "wills")


async def access_rules(bench: Trial) -> str:
    """Check whether this user may read and write the topics that nodes and masters use. A broker that does
    not let it acknowledges all the same."""
    namespace = f"{bench.target.namespace}/" if bench.target.namespace else ""
    node = f"{namespace}dcompute-check-{bench.target.token}"
    client = await bench.client("client")
    for topic in (
        f"{namespace}+/status",
        f"{namespace}results",
        f"{namespace}initialisation",
        f"{node}/task",
    ):
        if (await client.subscribe(topic, qos=1))[0] == _REFUSED:
            advice = (await _advice(bench, "access")).format(topic=topic)
            raise Violation(f"it may not subscribe to {topic}; {advice}")
    for topic in (f"{node}/status", f"{node}/task"):
        await client.publish(topic, b"", qos=1)  # empty, not retained: whoever listens cannot mistake it
        try:
            await client.message(topic)
        except Violation:
            advice = (await _advice(bench, "access")).format(topic=topic)
            raise Violation(f"what it publishes to {topic} reaches nobody; {advice}") from None
    return f"below {namespace or 'no namespace'}"


async def _mortal(bench: Trial, number: int) -> Client:
    will = ClientWill(bench.topic(str(number), "status"), b"dead", qos=1)
    return await bench.client(f"node-{number}", will=will, within_s=WAIT_S * 2)


async def _publish_all(client: Client, topics: list[str], *, retain: bool = False) -> None:
    for start in range(0, len(topics), 500):
        ids = [
            client.start_publish(topic, b"x", qos=1, retain=retain) for topic in topics[start : start + 500]
        ]
        for packet_id in ids:
            await client.finish(packet_id, qos=1)


async def _settled(client: Client, enough: int | None = None) -> int:
    """Count the messages until none has come for a while."""
    before = -1
    while len(client.messages) != before and len(client.messages) != enough:
        before = len(client.messages)
        await asyncio.sleep(_SETTLE_S)
    return len(client.messages)


async def _judged(bench: Trial, came: list[int], count: int, what: str) -> str:
    at_0, at_1 = came
    figure = f"{at_0:,} at QoS 0, {at_1:,} at QoS 1, of {count:,}"
    if at_0 < count:
        raise Violation(f"{count - at_0:,} {what} do not come even at QoS 0", figure)
    if at_1 < count:
        raise Warned(
            f"a subscriber at QoS 1 loses {count - at_1:,} {what} (our masters read statuses at QoS 0); "
            f"{await _advice(bench, 'queued')}",
            figure,
        )
    return figure


async def _advice(bench: Trial, about: str) -> str:
    """Return what to set, in the words of the broker that says who it is."""
    client = await bench.client("asking")
    await client.subscribe("$SYS/broker/version", "$SYS/brokers", qos=0)
    await asyncio.sleep(0.2)
    said = " ".join(f"{m.topic} {m.payload.decode(errors='replace')}" for m in client.messages)
    name = next((name for name in _SET if name and name.lower() in said.lower()), "")
    if not name and "$SYS/brokers" in said:
        name = "EMQX"
    return _SET[name][about]
