"""A model broker with in-memory clients, whose packets read as short lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from dcompute_sim.brokers.conformance import wire
from dcompute_sim.brokers.conformance.wire import Packet, PacketKind
from dcompute_sim.brokers.model import Broker, BrokerConfig
from dcompute_sim.brokers.model.packets import Connect


class Peer:
    """One connection, from the client's side."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.unread = bytearray()
        self.closed = False
        self.connection = bench.broker.opened(self, bench.now_s)

    # the broker's port
    def write(self, data: bytes) -> None:
        assert not self.closed, "the broker writes to a connection it has closed"
        self.unread += data

    def close(self) -> None:
        assert not self.closed, "the broker closes a connection twice"
        self.closed = True

    # the client
    def send(self, *packets: bytes) -> Peer:
        for packet in packets:
            self._bench.broker.received(self.connection, packet, self._bench.now_s)
        return self

    def lose(self) -> None:
        """The transport connection breaks."""
        self._bench.broker.lost(self.connection, self._bench.now_s)

    def got(self) -> list[str]:
        """What came since the last call."""
        return [describe(packet) for packet in wire.take_packets(self.unread)]

    def subscribe(self, *filters: str, qos: int = 0) -> Peer:
        self.send(wire.subscribe(99, [(topic_filter, qos) for topic_filter in filters]))
        acknowledged = self.got()
        assert acknowledged[0] == "SUBACK 99 " + ",".join([str(qos)] * len(filters)), acknowledged
        assert not acknowledged[1:]
        return self

    def publish(
        self, topic: str, payload: str = "x", qos: int = 0, packet_id: int = 1, **flags: bool
    ) -> Peer:
        return self.send(wire.publish(topic, payload.encode(), qos=qos, packet_id=packet_id, **flags))

    def acknowledge(self, kind: PacketKind, packet_id: int) -> Peer:
        return self.send(wire.acknowledgement(kind, packet_id))

    def disconnect(self) -> None:
        self.send(wire.encode(PacketKind.DISCONNECT))


class Bench:
    """A broker, its clock, and what its observer was told."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.told: list[str] = []
        self.broker = Broker(observer=self)

    def configure(self, **options: Any) -> Bench:
        self.broker = Broker(BrokerConfig(**options), observer=self)
        return self

    def restart(self) -> None:
        memory = self.broker.snapshot()
        self.broker = Broker(self.broker.config, observer=self)
        self.broker.restore(memory)

    def open(self) -> Peer:
        return Peer(self)

    def connect(self, client_id: str, **options: Any) -> Peer:
        """A client that is logged in; its CONNACK is still to be read."""
        return self.open().send(wire.connect(client_id, **options))

    def client(self, client_id: str, **options: Any) -> Peer:
        """A client that is logged in and has read its CONNACK."""
        peer = self.connect(client_id, **options)
        answer = peer.got()
        assert answer[0].startswith("CONNACK 0"), answer
        return peer

    def advance_to(self, now_s: float) -> None:
        """Let the time pass as an engine does: from deadline to deadline."""
        while (deadline_s := self.broker.next_deadline_s()) is not None and deadline_s <= now_s:
            self.now_s = deadline_s
            self.broker.tick(deadline_s)
        self.now_s = now_s

    # the broker's observer
    def connect_heard(self, client_id: str, connect: Connect) -> None: ...
    def subscribe_heard(self, client_id: str, wanted: Sequence[tuple[bytes, int]]) -> None: ...
    def publish_heard(self, client_id: str, flags: int, topic: bytes, payload: bytes) -> None: ...
    def disconnect_heard(self, client_id: str) -> None: ...

    def session_opened(self, client_id: str, *, clean: bool, present: bool, taken_over: bool) -> None:
        words = ["opened", client_id, *(["kept"] if not clean else [])]
        self.told.append(" ".join(words + ["present"] * present + ["taken over"] * taken_over))

    def session_closed(self, client_id: str, reason: str) -> None:
        self.told.append(f"closed {client_id}: {reason}")

    def connection_refused(self, client_id: str, reason: str) -> None:
        self.told.append(f"refused {client_id}: {reason}")

    def will_published(self, client_id: str, topic: str, payload: bytes) -> None:
        self.told.append(f"will of {client_id} to {topic}")

    def message_dropped(self, client_id: str, topic: str, reason: str) -> None:
        self.told.append(f"dropped {topic} for {client_id}: {reason}")


def describe(packet: Packet) -> str:
    """`PUBLISH topic payload qos1 #3 retain dup`, `PUBACK 3`, `SUBACK 1 0,2`, `CONNACK 0 present`."""
    if packet.kind is PacketKind.PUBLISH:
        got = wire.read_publish(packet)
        words = ["PUBLISH", got.topic, got.payload.decode()]
        words += [f"qos{got.qos}", f"#{got.packet_id}"] if got.qos else []
        return " ".join(words + ["retain"] * got.retain + ["dup"] * got.dup)
    if packet.kind is PacketKind.CONNACK:
        return f"CONNACK {packet.body[1]}" + " present" * packet.body[0]
    if packet.kind is PacketKind.PINGRESP:
        return "PINGRESP"
    line = f"{packet.kind.name} {wire.read_packet_id(packet)}"
    return f"{line} {','.join(map(str, packet.body[2:]))}" if packet.kind is PacketKind.SUBACK else line


@pytest.fixture
def bench() -> Bench:
    return Bench()
