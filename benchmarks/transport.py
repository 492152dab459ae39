"""The transports against bare paho: same broker, same bytes, in one run."""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import threading
import time
from collections.abc import Iterator
from typing import Any

import paho.mqtt.client as paho
from dcompute_sim.brokers.factory import make_broker
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.figures import Figure
from dcompute.events import MasterEvent, ResultReceived
from dcompute.master_transport import MasterNodeTransport
from dcompute.node_transport import ComputeNodeTransport

MESSAGES = 4_000
RESULT = "x" * 60  # the whole message is then 200 B
IN_FLIGHT = 20
ROUND_TRIPS = 400
REPEATS = 3
PATIENCE_S = 30.0


def measure() -> list[Figure]:
    """All figures."""
    return asyncio.run(_measure())


async def _measure() -> list[Figure]:
    broker = make_broker("mosquitto")
    await broker.start()
    try:
        return await asyncio.to_thread(_figures, broker.host, broker.port)
    finally:
        await broker.stop()


def _figures(host: str, port: int) -> list[Figure]:
    bare, ours = [], []
    for _ in range(REPEATS):  # taken in turn, so that whatever else the machine does meets both
        bare.append(_bare_rate(host, port))
        ours.append(_our_rate(host, port))
    median_ms = statistics.median(_round_trips(host, port)) * 1e3
    return [
        Figure("bare paho, QoS 1, 20 in flight, 200 B", max(bare), "messages/s"),
        Figure("ComputeNodeTransport.send_result, the same bytes", max(ours), "messages/s"),
        Figure("transport against bare paho", max(ours) / max(bare), "times", "at_least", 0.9),
        Figure("task to result, QoS 1, median", median_ms, "ms", "at_most", 1.0),
    ]


def _message() -> bytes:
    """As long as a result of ours."""
    fields = {"node_id": "bench", "result": RESULT, "timestamp": 1_700_000_000.0, "task_id": "t1000"}
    return json.dumps({**fields, "attempt": 1, "inc": "0123456789ab.1"}).encode()


def _bare_rate(host: str, port: int) -> float:
    client = paho.Client(CallbackAPIVersion.VERSION2, "bare")
    client.max_inflight_messages_set(IN_FLIGHT)
    left = MESSAGES
    connected, done = threading.Event(), threading.Event()

    def acknowledged(*_args: Any) -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()

    client.on_connect = lambda *_args: connected.set()
    client.on_publish = acknowledged
    client.connect(host, port)
    client.loop_start()
    try:
        _wait(connected)
        payload = _message()
        began_s = time.perf_counter()
        for _ in range(MESSAGES):
            client.publish("results", payload, qos=1)
        _wait(done)
        return MESSAGES / (time.perf_counter() - began_s)
    finally:
        client.disconnect()
        client.loop_stop()


@contextlib.contextmanager
def _node(host: str, port: int) -> Iterator[ComputeNodeTransport]:
    node = ComputeNodeTransport(host, port, "bench", install_signal_handlers=False)
    if not node.start():
        raise RuntimeError(f"no connection: {node.last_error}")
    try:
        yield node
    finally:
        node.stop()


def _our_rate(host: str, port: int) -> float:
    with _node(host, port) as node:
        began_s = time.perf_counter()
        for number in range(MESSAGES):
            node.send_result(RESULT, f"t{number}")
        while node.counters()["messages_held"]:
            if time.perf_counter() - began_s > PATIENCE_S:
                raise TimeoutError("results were not acknowledged")
            time.sleep(0.001)
        return MESSAGES / (time.perf_counter() - began_s)


def _round_trips(host: str, port: int) -> list[float]:
    """Seconds from send_task to the result, one after the other."""
    arrived = threading.Event()

    def observe(event: MasterEvent) -> None:
        if isinstance(event, ResultReceived):
            arrived.set()

    times = []
    with (
        _node(host, port) as node,
        MasterNodeTransport(host, port, observer=observe) as master,
    ):

        def answer() -> None:
            while (task := node.get_task()) is not None:
                node.send_result(task["id"], task["id"])

        node.set_task_callback(answer)
        deadline_s = time.perf_counter() + PATIENCE_S
        while not master.get_nodes_by_status("ready"):
            if time.perf_counter() > deadline_s:
                raise TimeoutError("the master does not see the node")
            time.sleep(0.01)
        for _ in range(ROUND_TRIPS):
            arrived.clear()
            began_s = time.perf_counter()
            master.send_task("bench", {"work": "x" * 100})
            _wait(arrived)
            times.append(time.perf_counter() - began_s)
    return times


def _wait(event: threading.Event) -> None:
    if not event.wait(PATIENCE_S):
        raise TimeoutError("the broker did not answer")
