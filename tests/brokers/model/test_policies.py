"""What brokers do differently where the standard leaves it to them: access rules, full queues, takeover."""

from __future__ import annotations

from dcompute_sim.brokers.conformance import wire
from dcompute_sim.brokers.conformance.wire import PacketKind

from .conftest import Bench


def _own_topics_only(client_id: str, topic: str, publishes: bool) -> bool:
    return topic.startswith(f"{client_id}/") or (not publishes and topic == "news")


def test_a_publish_that_is_not_allowed_is_acknowledged_and_reaches_nobody(bench: Bench) -> None:
    """As mosquitto: the publisher cannot tell."""
    bench.configure(authorize=_own_topics_only)
    reader = bench.client("a").subscribe("a/in")
    writer = bench.client("b")
    writer.publish("a/in", qos=1, packet_id=7)
    writer.publish("a/in", qos=0)
    assert writer.got() == ["PUBACK 7"]
    assert reader.got() == []
    assert bench.told[-2:] == ["dropped a/in for b: may not publish"] * 2
    writer.publish("b/out", qos=2, packet_id=8)
    assert writer.got() == ["PUBREC 8"]


def test_a_broker_may_close_over_it_instead(bench: Bench) -> None:
    bench.configure(authorize=_own_topics_only, closes_on_refusal=True)
    writer = bench.client("b")
    writer.publish("a/in", qos=1)
    assert writer.closed
    assert "may not publish to a/in" in bench.told[-1]
    reader = bench.client("c")
    reader.send(wire.subscribe(3, [("a/in", 1)]))
    assert reader.closed
    assert reader.got() == []
    assert "may not subscribe to a/in" in bench.told[-1]


def test_a_broker_may_have_no_sys_for_anybody(bench: Bench) -> None:
    bench.configure(refuses_sys=True)
    client = bench.client("a")
    client.send(wire.subscribe(3, [("$SYS/broker/uptime", 0), ("news", 0)]))
    assert client.got() == ["SUBACK 3 128,0"]


def test_a_subscription_that_is_not_allowed_is_refused_alone(bench: Bench) -> None:
    bench.configure(authorize=_own_topics_only)
    client = bench.client("b")
    client.send(wire.subscribe(3, [("a/in", 1), ("b/in", 1)]))
    assert client.got() == ["SUBACK 3 128,1"]
    client.publish("b/in", "hello", qos=0)
    assert client.got() == ["PUBLISH b/in hello"]


def test_what_is_retained_may_come_behind_what_replaced_it(bench: Bench) -> None:
    bench.configure(retained_late_s=0.5)
    writer = bench.client("w").publish("t", "old", retain=True)
    reader = bench.client("r")
    gone = bench.client("gone")
    for client in (reader, gone):
        assert client.send(wire.subscribe(1, [("t", 0)])).got() == ["SUBACK 1 0"]
    writer.publish("t", "new", retain=True)
    gone.lose()
    assert reader.got() == ["PUBLISH t new"]
    assert bench.broker.next_deadline_s() == bench.now_s + 0.5
    bench.advance_to(0.5)
    assert reader.got() == ["PUBLISH t old retain"]


def test_the_oldest_or_the_newest_is_dropped(bench: Bench) -> None:
    for oldest, expected in ((False, ["1", "2", "3"]), (True, ["1", "3", "4"])):
        bench.configure(inflight_window=1, queue_limit=2, drops_oldest=oldest)
        reader = bench.client("r").subscribe("t", qos=1)
        writer = bench.client("w")
        for number in (1, 2, 3, 4):
            writer.publish("t", str(number), qos=1, packet_id=number)
        got: list[str] = []
        while lines := reader.got():
            [line] = lines
            got.append(line.split()[2])
            reader.acknowledge(PacketKind.PUBACK, int(line.rpartition("#")[2]))
        assert got == expected
        assert bench.told[-1] == "dropped t for r: queue full"


def test_messages_never_released_are_bounded(bench: Bench) -> None:
    bench.configure(release_limit=3)
    client = bench.client("c")
    for number in (1, 2, 3, 3):
        client.publish("t", qos=2, packet_id=number)
    assert not client.closed
    client.publish("t", qos=2, packet_id=4)
    assert client.closed


def test_a_takeover_may_go_without_a_will(bench: Bench) -> None:
    for wills in (True, False):
        bench.configure(takeover_wills=wills)
        reader = bench.client("r").subscribe("gone")
        bench.client("c", will=wire.ClientWill("gone", b"dead"))
        bench.client("c")
        assert reader.got() == (["PUBLISH gone dead"] if wills else [])
