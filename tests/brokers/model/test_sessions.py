"""Kept sessions: what a client finds when it comes back, and what survives a restart (3.1.2.4, 4.1, 4.4)."""

from __future__ import annotations

import pytest
from dcompute_sim.brokers.conformance import wire
from dcompute_sim.brokers.conformance.wire import PacketKind
from dcompute_sim.brokers.model import Broker, SnapshotError

from .conftest import Bench


def test_session_present_tells_the_truth(bench: Bench) -> None:
    """[MQTT-3.2.2-1], [MQTT-3.2.2-2], [MQTT-3.2.2-3], [MQTT-3.1.2-6]"""
    for clean, answer in ((False, ""), (False, " present"), (True, ""), (False, ""), (False, " present")):
        peer = bench.connect("a", clean=clean)
        assert peer.got() == [f"CONNACK 0{answer}"]
        peer.disconnect()


def test_a_kept_session_keeps_subscriptions_and_queues_what_comes(bench: Bench) -> None:
    """[MQTT-3.1.2-4], [MQTT-3.1.2-5]; QoS 0 is not queued, as with mosquitto."""
    bench.client("a", clean=False).subscribe("t", qos=2).disconnect()
    publisher = bench.client("p")
    publisher.publish("t", "0", qos=0).publish("t", "1", qos=1)
    publisher.publish("t", "2", qos=2).acknowledge(PacketKind.PUBREL, 1)
    back = bench.connect("a", clean=False)
    assert back.got() == ["CONNACK 0 present", "PUBLISH t 1 qos1 #1", "PUBLISH t 2 qos2 #2"]
    publisher.publish("t", "3")
    assert back.got() == ["PUBLISH t 3"]


def test_connecting_clean_ends_a_kept_session(bench: Bench) -> None:
    bench.client("a", clean=False).subscribe("t", qos=1).disconnect()
    publisher = bench.client("p").publish("t", "1", qos=1)
    peer = bench.client("a")
    publisher.publish("t", "2", qos=1)
    assert peer.got() == []


def test_unacknowledged_packets_come_again_in_order(bench: Bench) -> None:
    """Same ids, DUP on PUBLISH, only after a reconnection [MQTT-4.4.0-1], [MQTT-3.3.1-1], [MQTT-4.6.0-1]."""
    peer = bench.client("a", clean=False).subscribe("t", qos=2)
    publisher = bench.client("p").publish("t", "1", qos=1)
    publisher.publish("t", "2", qos=2).acknowledge(PacketKind.PUBREL, 1)
    publisher.publish("t", "3", qos=2).acknowledge(PacketKind.PUBREL, 1).publish("t", "4", qos=1)
    peer.acknowledge(PacketKind.PUBREC, 2).acknowledge(PacketKind.PUBACK, 4)
    peer.got()
    peer.lose()
    for _ in range(2):
        peer = bench.connect("a", clean=False)
        assert peer.got() == [
            "CONNACK 0 present",
            "PUBLISH t 1 qos1 #1 dup",
            "PUBREL 2",
            "PUBLISH t 3 qos2 #3 dup",
        ]
    peer.acknowledge(PacketKind.PUBACK, 1).acknowledge(PacketKind.PUBCOMP, 2).acknowledge(
        PacketKind.PUBREC, 3
    )
    peer.acknowledge(PacketKind.PUBCOMP, 3)
    peer.disconnect()
    assert bench.connect("a", clean=False).got() == ["CONNACK 0 present"]


def test_a_retained_message_keeps_its_flag_when_it_comes_again(bench: Bench) -> None:
    bench.client("p").publish("t", qos=1, retain=True)
    peer = bench.client("a", clean=False).send(wire.subscribe(1, [("t", 1)]))
    peer.lose()
    assert bench.connect("a", clean=False).got()[1:] == ["PUBLISH t x qos1 #1 retain dup"]


def test_a_publisher_may_finish_qos2_after_reconnecting(bench: Bench) -> None:
    """[MQTT-4.3.3-2] over two connections: delivered once."""
    subscriber = bench.client("s").subscribe("t")
    bench.client("a", clean=False).publish("t", qos=2, packet_id=9).lose()
    peer = (
        bench.client("a", clean=False)
        .publish("t", qos=2, packet_id=9, dup=True)
        .acknowledge(PacketKind.PUBREL, 9)
    )
    assert peer.got() == ["PUBREC 9", "PUBCOMP 9"]
    assert subscriber.got() == ["PUBLISH t x"]


def test_a_clean_publisher_takes_its_unfinished_qos2_with_it(bench: Bench) -> None:
    subscriber = bench.client("s").subscribe("t")
    bench.client("a").publish("t", qos=2, packet_id=9).lose()
    assert bench.client("a").acknowledge(PacketKind.PUBREL, 9).got() == ["PUBCOMP 9"]
    assert subscriber.got() == []


def test_the_queue_of_an_absent_client_is_bounded(bench: Bench) -> None:
    bench.configure(inflight_window=2, queue_limit=5)
    peer = bench.client("a", clean=False).subscribe("t", qos=1)
    publisher = bench.client("p")
    for number in range(4):
        publisher.publish("t", str(number), qos=1)
    peer.lose()
    for number in range(4, 10):
        publisher.publish("t", str(number), qos=1)
    assert bench.broker.dropped == 5
    back = bench.connect("a", clean=False)
    for packet_id in range(1, 10):
        back.acknowledge(PacketKind.PUBACK, packet_id)
    assert [line.split()[2] for line in back.got()[1:]] == ["0", "1", "2", "3", "4"]


def test_a_restart_keeps_what_must_survive(bench: Bench) -> None:
    """Retained messages, kept sessions with all they hold; clean sessions and wills are gone."""
    bench.configure(inflight_window=2)
    kept = bench.client("kept", clean=False).subscribe("t", "w/+", qos=2)
    bench.client("clean").subscribe("t", qos=1)
    kept.publish("r/1", "here", qos=1, retain=True).publish("half", qos=2, packet_id=9).got()
    publisher = bench.client("p")
    for number in range(4):
        publisher.publish("t", str(number), qos=1)
    kept.acknowledge(PacketKind.PUBACK, 1).got()
    bench.restart()
    assert list(bench.broker.sessions) == ["kept"]
    watcher = bench.client("watcher").send(wire.subscribe(1, [("r/#", 1), ("half", 0)]))
    assert watcher.got()[1:] == ["PUBLISH r/1 here qos1 #1 retain"]
    back = bench.connect("kept", clean=False)
    assert back.got() == ["CONNACK 0 present", "PUBLISH t 1 qos1 #2 dup", "PUBLISH t 2 qos1 #3 dup"]
    assert back.acknowledge(PacketKind.PUBACK, 2).got() == ["PUBLISH t 3 qos1 #4"]
    back.acknowledge(PacketKind.PUBREL, 9)
    assert watcher.got() == ["PUBLISH half x"]
    bench.client("p").publish("w/1")
    assert "PUBLISH w/1 x" in back.got()


def test_a_snapshot_of_a_restored_broker_is_the_same(bench: Bench) -> None:
    bench.client("a", clean=False).subscribe("t", "#", qos=1).publish("t", qos=1, retain=True).lose()
    before = bench.broker.snapshot()
    bench.restart()
    assert bench.broker.snapshot() == before


@pytest.mark.parametrize("data", [b"", b"nonsense", b"{}", b'{"format":99,"retained":[],"sessions":[]}'])
def test_what_is_no_snapshot_is_refused(data: bytes) -> None:
    with pytest.raises(SnapshotError, match="snapshot"):
        Broker().restore(data)


def test_nothing_is_queued_for_a_session_that_ended(bench: Bench) -> None:
    bench.configure(queue_limit=1)
    bench.client("a", clean=False).subscribe("t", qos=1).disconnect()
    bench.client("a")
    publisher = bench.client("p")
    for _ in range(5):
        publisher.publish("t", qos=1)
    assert bench.broker.dropped == 0
