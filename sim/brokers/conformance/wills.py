"""Properties: when a last will is published, and when it is not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sim.brokers.conformance import judge
from sim.brokers.conformance.bench import Bench
from sim.brokers.conformance.client import Client
from sim.brokers.conformance.result import Violation
from sim.brokers.conformance.wire import Kind, Will, encode

_TRIES = 10
_LATE = 1.25  # keepalives between a healthy client's packets: a busy machine still stays below 1.5
_WATCH_S = 2.5
_SILENT_TRIES = 8
_SILENT_STAGGER_S = 0.4  # brokers look at keepalives in steps: begin at different times within one


async def will_on_reset(bench: Bench) -> str:
    return await _will_after(bench, Client.reset)


async def will_on_fin(bench: Bench) -> str:
    """A process that was killed: its kernel closes the connection, nobody sends DISCONNECT."""
    return await _will_after(bench, Client.fin)


async def _will_after(bench: Bench, end: Callable[[Client], Awaitable[None]]) -> str:
    watcher = await bench.subscriber("watcher", bench.topic("#"))
    delays_s = []
    for number in range(_TRIES):
        topic = bench.topic(str(number))
        node = await bench.client(f"node-{number}", will=Will(topic, b"dead"))
        began_s = asyncio.get_running_loop().time()
        await end(node)
        will = await watcher.message(topic)
        delays_s.append(will.at_s - began_s)
    return judge.spread(delays_s)


async def no_will_after_disconnect(bench: Bench) -> str:
    """[MQTT-3.14.4-3], watched past the keepalive; who closes the connection then makes no difference."""
    watcher = await bench.subscriber("watcher", bench.topic("#"))
    closing = await bench.client("closing", keepalive_s=1, will=Will(bench.topic("closing"), b"dead"))
    leaving = await bench.client("leaving", keepalive_s=1, will=Will(bench.topic("leaving"), b"dead"))
    await closing.disconnect()
    leaving.send(encode(Kind.DISCONNECT))
    await asyncio.sleep(_WATCH_S)
    if watcher.messages:
        raise Violation(f"{len(watcher.messages)} of 2 clients that said DISCONNECT had their will published")
    return f"watched {_WATCH_S:g} s"


async def will_on_silence(bench: Bench) -> str:
    target = bench.target
    watcher = await bench.subscriber("watcher", bench.topic("#"))

    async def one_try(number: int) -> float | None:
        await asyncio.sleep(number * _SILENT_STAGGER_S)
        topic = bench.topic(str(number))
        will = Will(topic, b"dead")
        node = await bench.client(f"node-{number}", keepalive_s=target.keepalive_s, will=will)
        bound_s = 1.5 * target.keepalive_s + target.lateness_bound_s
        try:
            published = await watcher.message(topic, within_s=bound_s)
        except Violation:
            return None
        return published.at_s - node.last_sent_s

    delays_s = await asyncio.gather(*(one_try(number) for number in range(_SILENT_TRIES)))
    figure = judge.lateness(delays_s, target.keepalive_s)
    if wrong := judge.silence(delays_s, target.keepalive_s, target.lateness_bound_s):
        raise Violation(wrong, figure)
    return figure


async def healthy_client_is_kept(bench: Bench) -> str:
    """Any packet is a sign of life, up to 1.5 x keepalive after the last [MQTT-3.1.2-24]."""
    keepalive_s = bench.target.keepalive_s
    watcher = await bench.subscriber("watcher", bench.topic("will", "#"))

    async def live(name: str, pause_s: float, speak: Callable[[Client], Awaitable[None]]) -> None:
        will = Will(bench.topic("will", name), b"dead")
        node = await bench.client(name, keepalive_s=keepalive_s, will=will)
        for _ in range(3):
            await asyncio.sleep(pause_s)
            if node.closed_at_s is not None:
                raise Violation(
                    f"a client that {name} every {pause_s:g} s was dropped at keepalive {keepalive_s} s"
                )
            await speak(node)

    await asyncio.gather(
        live("pings", 1.0 * keepalive_s, Client.ping),
        live("pings late", _LATE * keepalive_s, Client.ping),
        live("publishes", _LATE * keepalive_s, lambda node: node.publish(bench.topic("beat"), b"", qos=0)),
    )
    if watcher.messages:
        raise Violation("the will of a healthy client was published")
    return f"packets up to {_LATE * keepalive_s:g} s apart"
