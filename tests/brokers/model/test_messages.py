"""Publishing, subscribing, retaining (sections 3.3, 3.8 to 3.11, 4.3)."""

from __future__ import annotations

import pytest
from dcompute_sim.brokers.conformance import wire
from dcompute_sim.brokers.conformance.wire import PacketKind

from .conftest import Bench

# --- quality of service ------------------------------------------------------------------------------------


@pytest.mark.parametrize("published", [0, 1, 2])
@pytest.mark.parametrize("granted", [0, 1, 2])
def test_the_lower_qos_holds(bench: Bench, published: int, granted: int) -> None:
    """4.3, [MQTT-3.8.4-6]"""
    subscriber = bench.client("s").subscribe("t", qos=granted)
    bench.client("p").publish("t", qos=published).acknowledge(PacketKind.PUBREL, 1)
    level = min(published, granted)
    assert subscriber.got() == [f"PUBLISH t x qos{level} #1" if level else "PUBLISH t x"]


def test_qos1_is_acknowledged_and_each_repeat_is_delivered(bench: Bench) -> None:
    """[MQTT-4.3.2-2]; the outgoing DUP flag is the delivery's own [MQTT-3.3.1-3]"""
    subscriber = bench.client("s").subscribe("t", qos=1)
    publisher = bench.client("p").publish("t", qos=1, packet_id=7).publish("t", qos=1, packet_id=7, dup=True)
    assert publisher.got() == ["PUBACK 7", "PUBACK 7"]
    assert subscriber.got() == ["PUBLISH t x qos1 #1", "PUBLISH t x qos1 #2"]


def test_qos2_is_delivered_once_on_release(bench: Bench) -> None:
    """[MQTT-4.3.3-2]"""
    subscriber = bench.client("s").subscribe("t", qos=0)
    publisher = (
        bench.client("p")
        .publish("t", "1", qos=2, packet_id=7)
        .publish("t", "1", qos=2, packet_id=7, dup=True)
    )
    assert publisher.got() == ["PUBREC 7", "PUBREC 7"]
    assert subscriber.got() == []
    publisher.acknowledge(PacketKind.PUBREL, 7).acknowledge(PacketKind.PUBREL, 7)
    assert publisher.got() == ["PUBCOMP 7", "PUBCOMP 7"]
    assert subscriber.got() == ["PUBLISH t 1"]
    publisher.publish("t", "2", qos=2, packet_id=7).acknowledge(PacketKind.PUBREL, 7)
    assert subscriber.got() == ["PUBLISH t 2"]


def test_qos2_to_a_subscriber_takes_four_steps(bench: Bench) -> None:
    """[MQTT-4.3.3-1]"""
    subscriber = bench.client("s").subscribe("t", qos=2)
    bench.client("p").publish("t", qos=2).acknowledge(PacketKind.PUBREL, 1)
    assert subscriber.got() == ["PUBLISH t x qos2 #1"]
    assert subscriber.acknowledge(PacketKind.PUBREC, 1).acknowledge(PacketKind.PUBREC, 1).got() == [
        "PUBREL 1",
        "PUBREL 1",
    ]
    assert subscriber.acknowledge(PacketKind.PUBCOMP, 1).got() == []
    assert not bench.broker.sessions["s"].inflight


def test_a_release_is_owed_for_a_receipt_nobody_remembers(bench: Bench) -> None:
    """A client may repeat PUBREC or PUBREL after the broker has forgotten the message."""
    peer = bench.client("a").acknowledge(PacketKind.PUBREC, 5).acknowledge(PacketKind.PUBREL, 6)
    peer.acknowledge(PacketKind.PUBACK, 7).acknowledge(PacketKind.PUBCOMP, 8)
    assert peer.got() == ["PUBREL 5", "PUBCOMP 6"]


@pytest.mark.parametrize(
    ("qos", "wrong"),
    [(1, PacketKind.PUBREC), (1, PacketKind.PUBCOMP), (2, PacketKind.PUBACK), (2, PacketKind.PUBCOMP)],
)
def test_an_acknowledgement_of_the_wrong_kind_closes(bench: Bench, qos: int, wrong: PacketKind) -> None:
    peer = bench.client("a").subscribe("t", qos=qos).publish("t", qos=qos).acknowledge(PacketKind.PUBREL, 1)
    assert peer.acknowledge(wrong, 1).closed


def test_puback_of_a_released_qos2_message_closes(bench: Bench) -> None:
    peer = bench.client("a").subscribe("t", qos=2).publish("t", qos=2).acknowledge(PacketKind.PUBREL, 1)
    assert peer.acknowledge(PacketKind.PUBREC, 1).acknowledge(PacketKind.PUBACK, 1).closed


def test_order_is_kept(bench: Bench) -> None:
    """[MQTT-4.6.0-6]"""
    subscriber = bench.client("s").subscribe("t", qos=1)
    publisher = bench.client("p")
    for number in range(15):
        publisher.publish("t", str(number), qos=number % 2, packet_id=number + 1)
    assert [line.split()[2] for line in subscriber.got()] == [str(number) for number in range(15)]


def test_a_message_of_any_size_passes(bench: Bench) -> None:
    """Each length of the remaining length's own bytes (2.2.3)."""
    subscriber = bench.client("s").subscribe("t", qos=1)
    publisher = bench.client("p")
    for size in (0, 1, 122, 123, 124, 16_376, 16_377, 16_378, 2_097_143, 2_097_144):
        for qos in (0, 1):
            publisher.publish("t", "x" * size, qos=qos)
            [line] = subscriber.got()
            assert line.split(" ")[2] == "x" * size
        subscriber.acknowledge(PacketKind.PUBACK, int(line.split("#")[1]))


# --- windows and queues ------------------------------------------------------------------------------------


def test_no_more_than_the_window_is_in_flight(bench: Bench) -> None:
    bench.configure(inflight_window=2)
    subscriber = bench.client("s").subscribe("t", qos=1)
    publisher = bench.client("p")
    for number in range(5):
        publisher.publish("t", str(number), qos=1)
    assert subscriber.got() == ["PUBLISH t 0 qos1 #1", "PUBLISH t 1 qos1 #2"]
    assert subscriber.acknowledge(PacketKind.PUBACK, 2).got() == ["PUBLISH t 2 qos1 #3"]
    subscriber.acknowledge(PacketKind.PUBACK, 3).acknowledge(PacketKind.PUBACK, 1)
    assert subscriber.got() == ["PUBLISH t 3 qos1 #4", "PUBLISH t 4 qos1 #5"]


def test_qos0_does_not_wait_for_the_window(bench: Bench) -> None:
    bench.configure(inflight_window=1)
    subscriber = bench.client("s").subscribe("t", qos=1)
    bench.client("p").publish("t", "1", qos=1).publish("t", "2", qos=1).publish("t", "3", qos=0)
    assert subscriber.got() == ["PUBLISH t 1 qos1 #1", "PUBLISH t 3"]


def test_the_newest_is_dropped_when_the_queue_is_full(bench: Bench) -> None:
    bench.configure(inflight_window=1, queue_limit=2)
    subscriber = bench.client("s").subscribe("t", qos=1)
    publisher = bench.client("p")
    for number in range(5):
        publisher.publish("t", str(number), qos=1)
    assert publisher.got() == ["PUBACK 1"] * 5
    assert bench.broker.dropped == 2
    assert bench.told[-2:] == ["dropped t for s: queue full"] * 2
    for packet_id in (1, 2, 3):
        subscriber.acknowledge(PacketKind.PUBACK, packet_id)
    assert [line.split()[2] for line in subscriber.got()] == ["0", "1", "2"]


def test_a_slow_reader_misses_qos0_and_nothing_else(bench: Bench) -> None:
    slow, other = bench.client("slow").subscribe("t", qos=1), bench.client("other").subscribe("t")
    bench.broker.congested(slow.connection, True)
    publisher = bench.client("p").publish("t", "0", qos=0).publish("t", "1", qos=1)
    assert slow.got() == ["PUBLISH t 1 qos1 #1"]
    assert other.got() == ["PUBLISH t 0", "PUBLISH t 1"]
    assert bench.told[-1] == "dropped t for slow: reads too slowly"
    bench.broker.congested(slow.connection, False)
    publisher.publish("t", "2", qos=0)
    assert slow.got() == ["PUBLISH t 2"]


def test_packet_ids_wrap_and_pass_over_those_in_use(bench: Bench) -> None:
    """[MQTT-2.3.1-1], [MQTT-2.3.1-4]"""
    subscriber = bench.client("s").subscribe("t", qos=1)
    publisher = bench.client("p").publish("t", qos=1)
    bench.broker.sessions["s"].next_id = 65_535
    publisher.publish("t", qos=1).publish("t", qos=1)
    assert [line.split("#")[1] for line in subscriber.got()] == ["1", "65535", "2"]


# --- subscriptions -----------------------------------------------------------------------------------------


def test_suback_answers_each_filter_in_order(bench: Bench) -> None:
    """[MQTT-3.8.4-2], [MQTT-3.8.4-5], [MQTT-3.9.3-1]"""
    peer = bench.client("a").send(wire.subscribe(513, [("a", 2), ("b", 0), ("c/#", 1)]))
    assert peer.got() == ["SUBACK 513 2,0,1"]


def test_subscribing_again_replaces_the_qos_and_repeats_the_retained_message(bench: Bench) -> None:
    """[MQTT-3.8.4-3]"""
    bench.client("p").publish("t", "old", qos=1, retain=True)
    subscriber = bench.client("s")
    for qos, line in ((1, "PUBLISH t old qos1 #1 retain"), (0, "PUBLISH t old retain")):
        subscriber.send(wire.subscribe(1, [("t", qos)]))
        assert subscriber.got() == [f"SUBACK 1 {qos}", line]
    bench.client("p").publish("t", "new", qos=1)
    assert subscriber.got() == ["PUBLISH t new"]


@pytest.mark.parametrize("filters", [("t/a", "t/+"), ("t/+", "t/a"), ("#", "t/#", "t/a", "+/a")])
def test_overlapping_filters_give_one_copy_at_the_highest_qos(bench: Bench, filters: tuple[str, ...]) -> None:
    """[MQTT-3.3.5-1]"""
    for best in range(len(filters)):
        levels = [(topic_filter, 2 if number == best else 0) for number, topic_filter in enumerate(filters)]
        subscriber = bench.client("s").send(wire.subscribe(1, levels))
        subscriber.got()
        bench.client("p").publish("t/a", qos=1)
        assert subscriber.got() == ["PUBLISH t/a x qos1 #1"]


def test_unsubscribing_ends_delivery(bench: Bench) -> None:
    """[MQTT-3.10.4-1] to [MQTT-3.10.4-6]"""
    peer = bench.client("a").subscribe("t", "t/#", "u")
    peer.publish("t")
    assert peer.got() == ["PUBLISH t x"]
    assert peer.send(wire.unsubscribe(7, ["t", "t/#", "never"])).got() == ["UNSUBACK 7"]
    assert peer.publish("t").publish("u").got() == ["PUBLISH u x"]


def test_unsubscribing_leaves_queued_messages(bench: Bench) -> None:
    """3.10.4: a QoS 1 or 2 message already begun must be completed; buffered ones may be."""
    bench.configure(inflight_window=1)
    peer = bench.client("a").subscribe("t", qos=1)
    bench.client("p").publish("t", "1", qos=1).publish("t", "2", qos=1)
    peer.send(wire.unsubscribe(7, ["t"])).acknowledge(PacketKind.PUBACK, 1)
    assert peer.got() == ["PUBLISH t 1 qos1 #1", "UNSUBACK 7", "PUBLISH t 2 qos1 #2"]


def test_subscriptions_end_with_a_clean_session(bench: Bench) -> None:
    bench.client("a").subscribe("t", "+/u").disconnect()
    peer = bench.client("a")
    bench.client("p").publish("t").publish("t/u")
    assert peer.got() == []


# --- retained messages -------------------------------------------------------------------------------------


def test_retained_is_set_replaced_and_cleared(bench: Bench) -> None:
    """[MQTT-3.3.1-5], -6, -8, -9, -10, -11"""
    publisher, live = bench.client("p"), bench.client("live").subscribe("t")

    def seen_by_newcomer() -> list[str]:
        got: list[str] = bench.client("newcomer").send(wire.subscribe(1, [("t", 0)])).got()
        return got[1:]

    for payload, later in (("1", ["PUBLISH t 1 retain"]), ("2", ["PUBLISH t 2 retain"]), ("", []), ("", [])):
        publisher.publish("t", payload, retain=True)
        assert live.got() == [f"PUBLISH t {payload}"]
        assert seen_by_newcomer() == later


def test_a_message_not_retained_leaves_the_retained_one(bench: Bench) -> None:
    """[MQTT-3.3.1-12]"""
    bench.client("p").publish("t", "old", retain=True).publish("t", "new").publish("t", "")
    assert bench.client("s").send(wire.subscribe(1, [("t", 0)])).got()[1:] == ["PUBLISH t old retain"]


@pytest.mark.parametrize("published", [0, 1, 2])
@pytest.mark.parametrize("granted", [0, 1, 2])
def test_a_retained_message_comes_at_the_lower_qos(bench: Bench, published: int, granted: int) -> None:
    publisher = bench.client("p").publish("t", qos=published, retain=True)
    subscriber = bench.client("s")
    if published == 2:
        assert subscriber.send(wire.subscribe(1, [("t", granted)])).got() == [f"SUBACK 1 {granted}"]
        publisher.acknowledge(PacketKind.PUBREL, 1)
        subscriber.got()
    subscriber.send(wire.subscribe(1, [("t", granted)]))
    level = min(published, granted)
    assert subscriber.got()[1].startswith(f"PUBLISH t x qos{level} " if level else "PUBLISH t x retain")


def test_retained_messages_obey_the_window(bench: Bench) -> None:
    bench.configure(inflight_window=2, queue_limit=3)
    publisher = bench.client("p")
    for number in range(7):
        publisher.publish(f"t/{number}", qos=1, retain=True)
    subscriber = bench.client("s").send(wire.subscribe(1, [("t/+", 1)]))
    assert len(subscriber.got()) == 1 + 2
    assert bench.broker.dropped == 2


def test_retained_for_a_slow_reader_is_dropped_at_qos0(bench: Bench) -> None:
    bench.client("p").publish("t", retain=True)
    slow = bench.client("slow")
    bench.broker.congested(slow.connection, True)
    assert slow.send(wire.subscribe(1, [("t", 0)])).got() == ["SUBACK 1 0"]
    assert bench.broker.dropped == 1


def test_the_first_of_two_qos2_messages_under_one_id_counts(bench: Bench) -> None:
    """Until PUBREL the id stands for the first [MQTT-4.3.3-2]."""
    subscriber = bench.client("s").subscribe("t")
    publisher = bench.client("p").publish("t", "first", qos=2).publish("t", "second", qos=2)
    publisher.acknowledge(PacketKind.PUBREL, 1)
    assert subscriber.got() == ["PUBLISH t first"]


def test_the_search_for_a_free_packet_id_wraps(bench: Bench) -> None:
    subscriber = bench.client("s").subscribe("t", qos=1)
    publisher = bench.client("p")
    for _ in range(2):
        bench.broker.sessions["s"].next_id = 65_535
        publisher.publish("t", qos=1)
    assert [line.split("#")[1] for line in subscriber.got()] == ["65535", "1"]
