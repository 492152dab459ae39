"""Properties: retained messages, the broker's memory that a late master learns its fleet from."""

from __future__ import annotations

import asyncio

from dcompute.parts import number_of
from dcompute_sim.brokers.conformance.client import Message
from dcompute_sim.brokers.conformance.result import Violation
from dcompute_sim.brokers.conformance.trial import Trial
from dcompute_sim.brokers.conformance.wire import ClientWill

_SETTLE_S = 0.3  # for messages that must not come


async def retained_set(bench: Trial) -> str:
    """Check that it is kept for later subscribers, and marked so; those who are there get it unmarked
    [MQTT-3.3.1-8, -9]."""
    topic = bench.retained_topic("status")
    there = await bench.subscriber("there", topic)
    await there.publish(topic, b"ready", qos=1, retain=True)
    live = await there.message(topic, b"ready")
    later = await (await bench.subscriber("later", topic)).message(topic, b"ready")
    _expect_flag(live, False, "to a subscriber that was there")
    _expect_flag(later, True, "to a subscriber that came later")
    return "flag 0 live, 1 later"


async def retained_replaced(bench: Trial) -> str:
    topic = bench.retained_topic("status")
    node = await bench.client("node")
    for payload in (b"ready", b"busy"):
        await node.publish(topic, payload, qos=1, retain=True)
    await node.publish(topic, b"not retained", qos=1)
    later = await bench.subscriber("later", topic)
    await later.message(topic, b"busy")
    await asyncio.sleep(_SETTLE_S)
    if len(later.on(topic)) != 1:
        raise Violation(f"{number_of(len(later.on(topic)), 'retained message')} on one topic")
    return ""


async def retained_cleared(bench: Trial) -> str:
    """Check that an empty payload clears it [MQTT-3.3.1-10], which those who are there still get."""
    topic = bench.retained_topic("status")
    there = await bench.subscriber("there", topic)
    await there.publish(topic, b"ready", qos=1, retain=True)
    await there.publish(topic, b"", qos=1, retain=True)
    cleared = await there.message(topic, b"")
    _expect_flag(cleared, False, "with an empty payload to a subscriber that was there")
    later = await bench.subscriber("later", topic)
    await asyncio.sleep(_SETTLE_S)
    if later.on(topic):
        raise Violation("a cleared message was delivered all the same")
    return ""


async def retained_will(bench: Trial) -> str:
    topic = bench.retained_topic("status")
    there = await bench.subscriber("there", topic)
    node = await bench.client("node", will=ClientWill(topic, b"dead", retain=True))
    await node.publish(topic, b"ready", qos=1, retain=True)
    await node.reset()
    await there.message(topic, b"dead")
    later = await bench.subscriber("later", topic)
    _expect_flag(await later.message(topic, b"dead"), True, "(a will) to a subscriber that came later")
    return ""


async def only_matching_retained(bench: Trial) -> str:
    """Check that a new subscriber gets the retained messages it asked for, whatever others are subscribed
    to."""
    topics = [bench.retained_topic(f"node-{number}", "status") for number in range(20)]
    all_seeing = await bench.subscriber("master", bench.topic("#"))
    for topic in topics:
        await all_seeing.publish(topic, b"ready", qos=1, retain=True)
    silent = await bench.client("subscribed to nothing")
    modest = await bench.subscriber("subscribed to one", topics[7])
    await modest.message(topics[7])
    await asyncio.sleep(_SETTLE_S)
    strays = len(silent.messages) + sum(message.topic != topics[7] for message in modest.messages)
    if strays:
        raise Violation(f"{number_of(strays, 'retained message')} to clients that did not ask for them")
    return f"1 of {len(topics)}"


def _expect_flag(message: Message, retain: bool, to_whom: str) -> None:
    if message.retain is not retain:
        raise Violation(f"the retain flag is {int(message.retain)} instead of {int(retain)} {to_whom}")
