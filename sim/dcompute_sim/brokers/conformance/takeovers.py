"""Properties: a client connects with the id of one that is still connected, as a rebooted board does."""

from __future__ import annotations

import asyncio

from dcompute_sim.brokers.conformance import judge
from dcompute_sim.brokers.conformance.client import Client
from dcompute_sim.brokers.conformance.judge import DEAD, READY_NEW, READY_OLD
from dcompute_sim.brokers.conformance.result import Violation
from dcompute_sim.brokers.conformance.trial import Trial
from dcompute_sim.brokers.conformance.wire import ClientWill

_TRIES = 10
_SETTLE_S = 2.0  # a late will, or a successor dropped by mistake, showed within 1 s


async def takeover_clean_session(bench: Trial) -> str:
    """Check that the old connection is closed, its will published before anything of the successor's
    [MQTT-3.1.4-2]."""
    return await _takeovers(bench, clean=True)


async def takeover_kept_session(bench: Trial) -> str:
    """Check the same; no will at all is accepted too, as mosquitto takes the session to have gone on."""
    return await _takeovers(bench, clean=False)


async def _takeovers(bench: Trial, *, clean: bool) -> str:
    watcher = await bench.subscriber("watcher", bench.topic("#"))
    topics = [bench.topic(str(number)) for number in range(_TRIES)]
    for number, topic in enumerate(topics):
        old, _ = await _take_over(bench, f"node-{number}", topic, clean=clean)
        if not await old.closed_by_broker():
            raise Violation("the old connection was left open [MQTT-3.1.4-2]")
        await watcher.message(topic, READY_NEW)
    await asyncio.sleep(_SETTLE_S)
    seen = [[message.payload for message in watcher.on(topic)] for topic in topics]
    wrongs = [wrong for each in seen if (wrong := judge.takeover(each, will_required=clean))]
    if wrongs:
        raise Violation(f"{wrongs[0]} ({len(wrongs)} of {_TRIES} tries went wrong)")
    wills = sum(DEAD in each for each in seen)
    return f"will first in {wills}, no will in {_TRIES - wills} of {_TRIES}"


async def successor_stays_connected(bench: Trial) -> str:
    successors = [
        (await _take_over(bench, name, bench.topic(name), clean=clean))[1]
        for name, clean in (("clean", True), ("kept", False))
    ]
    await asyncio.sleep(_SETTLE_S)
    for kind, successor in zip(("clean", "kept"), successors, strict=True):
        if successor.closed_at_s is not None:
            raise Violation(f"the new client ({kind} session) was dropped soon after it took over")
        await successor.subscribe(bench.topic(kind, "task"))
        await successor.publish(bench.topic(kind, "task"), b"work", qos=1)
        await successor.message(bench.topic(kind, "task"))
    return f"alive after {_SETTLE_S:g} s"


async def successors_status_stays(bench: Trial) -> str:
    """Check that the retained status that the successor wrote is still there when the old connection has
    ended."""
    kinds = {"clean": True, "kept": False}
    for name, clean in kinds.items():
        old, _ = await _take_over(bench, name, bench.retained_topic(name), clean=clean, retain=True)
        await old.fin()  # in case the broker left it open: a rebooted board's old socket ends as well
    await asyncio.sleep(_SETTLE_S)
    late = await bench.subscriber("late", bench.topic("#"))
    for name in kinds:
        status = await late.message(bench.topic(name))
        if status.payload != READY_NEW:
            raise Violation(f"the retained status ({name} session) became {status.payload!r}")
    return f"unchanged after {_SETTLE_S:g} s"


async def _take_over(
    bench: Trial, name: str, topic: str, *, clean: bool, retain: bool = False
) -> tuple[Client, Client]:
    """Connect two clients of one id, one after the other; each publishes its status as soon as it is logged
    in."""
    will = ClientWill(topic, DEAD, retain=retain)
    old = await bench.client(name, clean=clean, will=will)
    await old.publish(topic, READY_OLD, qos=1, retain=retain)
    new = await bench.client(name, clean=clean, will=will)
    await new.publish(topic, READY_NEW, qos=1, retain=retain)
    return old, new
