"""Properties: when a last will is published, and when it is not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from dcompute_sim.brokers.conformance import judge
from dcompute_sim.brokers.conformance.client import Client
from dcompute_sim.brokers.conformance.result import Violation
from dcompute_sim.brokers.conformance.trial import Trial
from dcompute_sim.brokers.conformance.wire import ClientWill, PacketKind, encode

_TRIES = 10
_LATE = 1.25  # keepalives between a healthy client's packets: a busy machine still stays below 1.5
_LIVES = 3  # of a client that was itself too late
_WATCH_S = 2.5
_SILENT_TRIES = 8
_SILENT_STAGGER_S = 0.4  # brokers look at keepalives in steps: begin at different times within one


async def will_on_reset(bench: Trial) -> str:
    return await _will_after(bench, Client.reset)


async def will_on_fin(bench: Trial) -> str:
    """Check the will of a process that was killed: its kernel closes the connection, nobody sends
    DISCONNECT."""
    return await _will_after(bench, Client.fin)


async def _will_after(bench: Trial, end: Callable[[Client], Awaitable[None]]) -> str:
    watcher = await bench.subscriber("watcher", bench.topic("#"))
    delays_s = []
    for number in range(_TRIES):
        topic = bench.topic(str(number))
        node = await bench.client(f"node-{number}", will=ClientWill(topic, b"dead"))
        began_s = asyncio.get_running_loop().time()
        await end(node)
        will = await watcher.message(topic)
        delays_s.append(will.at_s - began_s)
    return judge.spread(delays_s)


async def no_will_after_disconnect(bench: Trial) -> str:
    """Check [MQTT-3.14.4-3], watched past the keepalive; who closes the connection then makes no
    difference."""
    watcher = await bench.subscriber("watcher", bench.topic("#"))
    closing = await bench.client("closing", keepalive_s=1, will=ClientWill(bench.topic("closing"), b"dead"))
    leaving = await bench.client("leaving", keepalive_s=1, will=ClientWill(bench.topic("leaving"), b"dead"))
    await closing.disconnect()
    leaving.send(encode(PacketKind.DISCONNECT))
    await asyncio.sleep(_WATCH_S)
    if watcher.messages:
        raise Violation(f"{len(watcher.messages)} of 2 clients that said DISCONNECT had their will published")
    return f"watched {_WATCH_S:g} s"


async def will_on_silence(bench: Trial) -> str:
    target = bench.target
    watcher = await bench.subscriber("watcher", bench.topic("#"))

    async def one_try(number: int) -> float | None:
        await asyncio.sleep(number * _SILENT_STAGGER_S)
        topic = bench.topic(str(number))
        will = ClientWill(topic, b"dead")
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


async def healthy_client_is_kept(bench: Trial) -> str:
    """Check that any packet is a sign of life, up to 1.5 x keepalive after the last [MQTT-3.1.2-24]."""
    keepalive_s = bench.target.keepalive_s
    watcher = await bench.subscriber("watcher", bench.topic("will", "#"))
    late: set[str] = set()

    async def live(name: str, pause_s: float, speak: Callable[[Client], Awaitable[None]]) -> None:
        for life in range(_LIVES):
            client_id = f"{name} {life}"
            node = await bench.client(
                client_id, keepalive_s=keepalive_s, will=ClientWill(bench.topic("will", client_id), b"dead")
            )
            dropped_after_s = await _speak_thrice(node, pause_s, 1.5 * keepalive_s, speak)
            if dropped_after_s is None:
                await node.disconnect()  # the others may take longer, and it says nothing more
                return
            if dropped_after_s < 1.5 * keepalive_s:
                raise Violation(
                    f"a client that {name} every {pause_s:g} s was dropped at keepalive {keepalive_s} s"
                )
            late.add(bench.topic("will", client_id))  # this machine is busy: we were too late, not the broker
        raise Violation(f"this machine is too busy to send a packet every {pause_s:g} s: try again")

    await asyncio.gather(
        live("pings", 1.0 * keepalive_s, Client.ping),
        live("pings late", _LATE * keepalive_s, Client.ping),
        live("publishes", _LATE * keepalive_s, lambda node: node.publish(bench.topic("beat"), b"", qos=0)),
    )
    if any(message.topic not in late for message in watcher.messages):
        raise Violation("the will of a healthy client was published")
    return f"packets up to {_LATE * keepalive_s:g} s apart"


async def _speak_thrice(
    node: Client, pause_s: float, too_late_s: float, speak: Callable[[Client], Awaitable[None]]
) -> float | None:
    """Return None if the node was kept; else its longest silence until it was dropped.

    Its last packet may have been late itself, and have crossed the end of its connection: what counts is the
    silence before it. One that was too late is none that was kept, whatever else is seen of it.
    """
    longest_s = 0.0
    for _ in range(3):
        await asyncio.sleep(pause_s)
        last_sent_s = node.last_sent_s
        if node.closed_at_s is None:
            try:
                await speak(node)
            except Violation:
                if node.closed_at_s is None:
                    raise
            longest_s = max(longest_s, node.last_sent_s - last_sent_s)
        if node.closed_at_s is not None:
            return max(longest_s, node.closed_at_s - last_sent_s)
    return longest_s if longest_s >= too_late_s else None
