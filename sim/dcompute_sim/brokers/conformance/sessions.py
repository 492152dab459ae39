"""Properties: what a kept session remembers, and what happens to messages that nobody acknowledged."""

from __future__ import annotations

import asyncio

from dcompute_sim.brokers.conformance import judge
from dcompute_sim.brokers.conformance.result import Violation
from dcompute_sim.brokers.conformance.trial import Trial

_SETTLE_S = 0.3  # for messages that must not come
_SLOW_ACK_S = 6.5  # amqtt gives up after 5 s; the standard knows no such limit
_AWAY_COUNT = 50


async def redelivery(bench: Trial) -> str:
    """Check that what was not acknowledged when the connection was lost is sent again, marked DUP, under the
    same id [MQTT-4.4.0-1]."""
    return await _redelivered_after(bench, 0.0)


async def patience(bench: Trial) -> str:
    """Check the same for a client that takes its time: an unacknowledged message is not dropped after a
    while."""
    return await _redelivered_after(bench, _SLOW_ACK_S)


async def _redelivered_after(bench: Trial, pause_s: float) -> str:
    topic = bench.topic("task")
    node = await bench.client("node", clean=False)
    await node.subscribe(topic)
    node.hold_acks = True
    master = await bench.client("master")
    await master.publish(topic, b"work", qos=1)
    first = await node.message(topic)
    await asyncio.sleep(pause_s)
    await node.reset()
    node = await bench.client("node", clean=False)
    if not node.session_present:
        raise Violation("the session was not kept: CONNACK says session present 0 [MQTT-3.2.2-2]")
    again = await node.message(topic)
    if (again.payload, again.qos, again.dup, again.packet_id) != (b"work", 1, True, first.packet_id):
        was = f"DUP {int(again.dup)}, QoS {again.qos}, id {again.packet_id}"
        raise Violation(f"sent again with {was}, not with DUP 1, QoS 1, id {first.packet_id}")
    await node.ping()  # the broker has read the acknowledgement before it answers
    await node.disconnect()
    node = await bench.client("node", clean=False)
    await asyncio.sleep(_SETTLE_S)
    if node.on(topic):
        raise Violation("an acknowledged message was sent a third time")
    return f"unacknowledged for {pause_s:g} s" if pause_s else ""


async def kept_session_queues(bench: Trial) -> str:
    topic = bench.topic("task")
    node = await bench.client("node", clean=False)
    await node.subscribe(topic)
    await node.disconnect()
    master = await bench.client("master")
    for payload in judge.numbered(_AWAY_COUNT):
        await master.publish(topic, payload, qos=1)
    node = await bench.client("node", clean=False)
    if not node.session_present:
        raise Violation("the session was not kept: CONNACK says session present 0 [MQTT-3.2.2-2]")
    messages = await node.message_count(topic, _AWAY_COUNT)
    if wrong := judge.in_order_once([message.payload for message in messages], _AWAY_COUNT):
        raise Violation(wrong)
    await master.publish(topic, b"live", qos=1)  # the subscription itself was kept as well
    await node.message(topic, b"live")
    return f"{_AWAY_COUNT} messages"


async def clean_session_forgets(bench: Trial) -> str:
    """Check that a clean session remembers nothing, not even of the kept one that it replaces
    [MQTT-3.1.2-6]."""
    topic = bench.topic("task")
    node = await bench.client("node", clean=False)
    await node.subscribe(topic)
    await node.disconnect()
    node = await bench.client("node", clean=True)
    await node.disconnect()
    master = await bench.client("master")
    await master.publish(topic, b"work", qos=1)
    node = await bench.client("node", clean=False)
    await asyncio.sleep(_SETTLE_S)
    if node.session_present:
        raise Violation("CONNACK says session present 1 after a clean session")
    if node.on(topic):
        raise Violation("a message for a session that was ended by a clean one")
    return ""
