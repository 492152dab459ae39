"""What the model broker costs: microseconds a packet without sockets, messages/s over TCP beside mosquitto.

Run it by `python -m benchmarks.broker_model`.
"""

from __future__ import annotations

import asyncio
import selectors
import socket
import sys
import time
from collections.abc import Callable

from dcompute_sim.brokers import open_files
from dcompute_sim.brokers.conformance import wire
from dcompute_sim.brokers.conformance.wire import PacketKind
from dcompute_sim.brokers.factory import make_broker
from dcompute_sim.brokers.model import Broker
from dcompute_sim.brokers.real_broker import RealBroker

PAYLOAD = bytes(200)
NODES = 1_000
PACKETS = 100_000
MESSAGES_QOS0 = 100_000
MESSAGES_QOS1 = 40_000
IN_FLIGHT = 20
UNREAD_BYTES = 1 << 20  # of QoS 0 messages between publisher and subscriber
STALLED_S = 5.0
REPEATS = 3


class Sink:
    """A port that remembers the last packet only."""

    __slots__ = ("last",)

    def write(self, data: bytes) -> None:
        self.last = data

    def close(self) -> None:
        raise AssertionError("the broker closed a connection of the benchmark")


def without_sockets() -> dict[str, float]:
    """Microseconds a packet, 1,000 nodes connected and subscribed."""
    broker, figures = Broker(), {}
    began_s = time.perf_counter()
    nodes = []
    for number in range(NODES):
        node = broker.opened(Sink(), 0.0)
        name = f"n{number}"
        broker.received(node, wire.connect(name), 0.0)
        broker.received(node, wire.subscribe(1, [(name, 1), (f"{name}/status", 1)]), 0.0)
        nodes.append(node)
    figures["connect and subscribe"] = (time.perf_counter() - began_s) / NODES * 1e6
    inbox = Sink()
    master = broker.opened(inbox, 0.0)
    broker.received(
        master, wire.connect("master") + wire.subscribe(1, [("+/status", 1), ("results", 1)]), 0.0
    )
    ping = wire.encode(PacketKind.PINGREQ)
    qos0, qos1 = wire.publish("results", PAYLOAD), wire.publish("results", PAYLOAD, qos=1, packet_id=1)
    id_at = len(qos1) - len(PAYLOAD) - 2

    def pings() -> None:
        for number in range(PACKETS):
            broker.received(nodes[number % NODES], ping, 1.0)

    def publishes_qos0() -> None:
        for number in range(PACKETS):
            broker.received(nodes[number % NODES], qos0, 1.0)

    def publishes_qos1() -> None:
        for number in range(PACKETS):
            broker.received(nodes[number % NODES], qos1, 1.0)
            broker.received(master, b"\x40\x02" + inbox.last[id_at : id_at + 2], 1.0)

    for name, work in (
        ("PINGREQ and its answer", pings),
        ("PUBLISH QoS 0 to one subscriber", publishes_qos0),
        ("PUBLISH QoS 1 to one subscriber, both PUBACKs", publishes_qos1),
    ):
        figures[name] = min(_seconds(work) for _ in range(REPEATS)) / PACKETS * 1e6
    return figures


def _seconds(work: Callable[[], None]) -> float:
    began_s = time.perf_counter()
    work()
    return time.perf_counter() - began_s


def log_in(broker: RealBroker, client_id: str, *filters: str) -> socket.socket:
    """A connection that is logged in and subscribed."""
    client = socket.create_connection((broker.host, broker.port), timeout=STALLED_S)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.sendall(wire.connect(client_id, keepalive_s=600))
    _read(client, 4)
    if filters:
        client.sendall(wire.subscribe(1, [(each, 1) for each in filters]))
        _read(client, 4 + len(filters))
    return client


def _read(client: socket.socket, size: int) -> None:
    while size:
        got = len(client.recv(size))
        if not got:
            raise ConnectionError("the broker closed the connection")
        size -= got


def rate_qos0(broker: RealBroker) -> float:
    """Messages a second from one publisher to one subscriber."""
    packet = wire.publish("t", PAYLOAD)
    block = memoryview(packet * 1000)
    total = MESSAGES_QOS0 * len(packet)
    with log_in(broker, "s", "t") as subscriber, log_in(broker, "p") as publisher:
        subscriber.setblocking(False)
        publisher.setblocking(False)
        selector = selectors.DefaultSelector()
        selector.register(subscriber, selectors.EVENT_READ)
        selector.register(publisher, selectors.EVENT_WRITE)
        sent = got = 0
        began_s = time.perf_counter()
        while got < total:
            ready = selector.select(STALLED_S)
            if not ready:
                raise ConnectionError(f"messages were lost: {(total - got) // len(packet)}")
            for key, _ in ready:
                if key.fileobj is subscriber:
                    got += len(subscriber.recv(1 << 18))
                elif sent == total:
                    selector.unregister(publisher)
                elif sent - got < UNREAD_BYTES:
                    begin = sent % len(block)
                    sent += publisher.send(block[begin : begin + min(total - sent, UNREAD_BYTES)])
        return MESSAGES_QOS0 / (time.perf_counter() - began_s)


def rate_qos1(broker: RealBroker) -> float:
    """Messages a second from one publisher to one subscriber, 20 unacknowledged at either."""
    packets = [wire.publish("t", PAYLOAD, qos=1, packet_id=number + 1) for number in range(IN_FLIGHT)]
    size = len(packets[0])
    id_at = size - len(PAYLOAD) - 2
    with log_in(broker, "s", "t") as subscriber, log_in(broker, "p") as publisher:
        selector = selectors.DefaultSelector()
        selector.register(subscriber, selectors.EVENT_READ)
        selector.register(publisher, selectors.EVENT_READ)
        sent = got = acknowledged_bytes = 0
        unread = b""
        began_s = time.perf_counter()
        while got < MESSAGES_QOS1:
            window = min(IN_FLIGHT - (sent - acknowledged_bytes // 4), MESSAGES_QOS1 - sent)
            if window:
                publisher.sendall(b"".join(packets[(sent + next_) % IN_FLIGHT] for next_ in range(window)))
                sent += window
            for key, _ in selector.select(STALLED_S):
                if key.fileobj is publisher:
                    acknowledged_bytes += len(publisher.recv(1 << 12))
                    continue
                unread += subscriber.recv(1 << 16)
                whole = len(unread) // size
                acknowledgements = [b"\x40\x02" + unread[n * size + id_at :][:2] for n in range(whole)]
                subscriber.sendall(b"".join(acknowledgements))
                unread = unread[whole * size :]
                got += whole
        return MESSAGES_QOS1 / (time.perf_counter() - began_s)


def over_tcp(broker: RealBroker, others: int) -> tuple[float, float]:
    """Best of three of each rate, among `others` who subscribed to something else."""
    idle = [log_in(broker, f"i{number}", f"i{number}", f"i{number}/+") for number in range(others)]
    try:
        return tuple(max(rate(broker) for _ in range(REPEATS)) for rate in (rate_qos0, rate_qos1))  # type: ignore[return-value]
    finally:
        for client in idle:
            client.close()


async def main() -> int:
    open_files.raise_open_files(16_384)
    for name, microseconds in without_sockets().items():
        print(f"{name:46} {microseconds:7.2f} us")
    print(f"{'over TCP, messages/s of 200 B, others:':40} {'QoS 0':>8} {'QoS 1':>8}")
    for kind in ("model", "mosquitto"):
        broker = make_broker(kind)
        await broker.start()
        try:
            for others in (0, 300, 1_000):
                qos0, qos1 = await asyncio.to_thread(over_tcp, broker, others)
                print(f"{kind:32} {others:7} {qos0:8.0f} {qos1:8.0f}")
        finally:
            await broker.stop()
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
