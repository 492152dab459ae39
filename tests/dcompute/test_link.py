"""MqttLink and PahoSession in a fake world: every rule of reconnection without a socket or a wait."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Any

import pytest
from dcompute_sim.brokers.conformance import wire
from dcompute_sim.brokers.conformance.wire import PacketKind
from hypothesis import given, settings
from hypothesis import strategies as st

from dcompute._mqtt.closes import ONCE_BYTES
from dcompute._mqtt.failure import explain
from dcompute._mqtt.in_flight import SAME_TOPIC_IN_FLIGHT, URGENT_IN_FLIGHT
from dcompute._mqtt.link import (
    ACK_TIMEOUT_S,
    CONNECT_TIMEOUT_S,
    MAX_BACKOFF_S,
    MIN_BACKOFF_S,
    STABLE_S,
)
from dcompute._mqtt.paho_session import IN_FLIGHT, SessionSettings

from .conftest import ADDRESS, KEEPALIVE_S, Client, World


@pytest.fixture
def client(world: World) -> Client:
    return Client(world)


# --- connecting -----------------------------------------------------------------------------------------


def test_connect_subscribe_greeting_held(client: Client) -> None:
    client.greeting = [("hello", b"greeting", False)]
    client.send(b"held")
    broker = client.start().open()
    (connect,) = broker.heard()
    assert connect.kind == PacketKind.CONNECT
    assert connect.body[7] == 0b11101110, "user, password, retained QoS 1 will, clean session"
    assert b"me/status" in connect.body
    broker.say(wire.encode(PacketKind.CONNACK, b"\0\0"))
    (subscribe,) = broker.heard()
    assert subscribe.body[2:] == b"\0\1a\1\0\1b\1"
    assert not client.link.is_up()
    broker.say(wire.encode(PacketKind.SUBACK, subscribe.body[:2] + b"\1\1"))
    assert client.link.is_up()
    assert broker.published() == [b"greeting", b"held"]
    assert client.told == ["will", "up", "first outcome"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (None, "the broker at broker:1883 closed the connection"),
        (ConnectionRefusedError(), "nothing listens at broker:1883"),
        (socket.gaierror(), "the name 'broker' has no address"),
        (TimeoutError(), "no answer from broker:1883"),
        (ConnectionResetError(), "was reset"),
        (OSError(113, "No route to host"), "No route to host"),
    ],
)
def test_a_failed_attempt_says_why_and_is_followed_by_another(
    client: Client, error: Exception | None, said: str
) -> None:
    client.start().lose(error)
    assert said in client.link.last_error
    assert client.told[-2:] == [f"failed: {client.link.last_error}", "first outcome"]
    client.world.until_dial()[1].accept()
    assert client.link.is_up()
    assert client.link.last_error == ""
    assert client.told.count("first outcome") == 1


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (6, "code 6"),
        (5, "check username and password"),
        (4, "check username and password"),
        (3, "unavailable"),
        (2, "client id"),
        (1, "protocol version"),
    ],
)
def test_a_refused_connect_says_why(client: Client, code: int, said: str) -> None:
    broker = client.start().open()
    broker.say(wire.encode(PacketKind.CONNACK, bytes([0, code])))
    assert said in client.link.last_error
    assert broker.ended
    assert "secret" not in repr(client.told)
    client.world.until_dial()


def test_a_refused_subscription_says_so(client: Client) -> None:
    broker = client.start().open()
    broker.say(wire.encode(PacketKind.CONNACK, b"\0\0"))
    subscribe = broker.heard()[-1]
    broker.say(wire.encode(PacketKind.SUBACK, subscribe.body[:2] + b"\1\x80"))
    assert "refused a subscription" in client.link.last_error
    assert broker.ended


@pytest.mark.parametrize("stage", ["dialling", "CONNECT", "SUBSCRIBE"])
def test_no_answer_ends_the_attempt(client: Client, stage: str) -> None:
    broker = client.start()
    if stage != "dialling":
        broker.open()
    if stage == "SUBSCRIBE":
        broker.say(wire.encode(PacketKind.CONNACK, b"\0\0"))
    client.world.run(CONNECT_TIMEOUT_S - 0.01)
    assert not client.link.last_error
    client.world.run(0.02)
    assert client.link.last_error == f"no answer from broker:1883 within {CONNECT_TIMEOUT_S:.0f} s"
    assert broker.cancelled or broker.ended
    client.world.until_dial()[1].accept()
    assert client.link.is_up()


def test_the_backoff_grows_to_its_bound_and_is_spread(client: Client) -> None:
    waits = []
    broker = client.start()
    for _ in range(200):
        broker.lose()
        waited, broker = client.world.until_dial()
        waits.append(waited)
    assert min(waits) >= MIN_BACKOFF_S / 2
    assert waits[0] <= 2 * MIN_BACKOFF_S
    assert MAX_BACKOFF_S / 2 < max(waits) <= MAX_BACKOFF_S
    assert len({round(wait, 3) for wait in waits[10:]}) > 100


def test_only_a_connection_that_lasted_resets_the_backoff(client: Client) -> None:
    def next_waits(lasting: float) -> list[float]:
        waits = []
        for _ in range(20):
            waited, broker = client.world.until_dial()
            waits.append(waited)
            broker.accept()
            client.world.run(lasting)
            broker.lose()
        return waits

    client.start().lose()
    fight = next_waits(lasting=STABLE_S / 2)  # two clones of one id, say
    assert max(fight[-10:]) > MAX_BACKOFF_S / 2
    stable = next_waits(lasting=STABLE_S + 1)
    assert max(stable[1:]) <= MIN_BACKOFF_S


# --- keeping --------------------------------------------------------------------------------------------


def test_an_idle_link_pings_and_lives(client: Client) -> None:
    broker = client.up()
    pings = 0
    for _ in range(100):
        client.world.run(KEEPALIVE_S / 10)
        for packet in broker.heard():
            assert packet.kind == PacketKind.PINGREQ
            pings += 1
            broker.say(wire.encode(PacketKind.PINGRESP))
    assert pings >= 9
    assert client.link.is_up()


def test_a_dead_link_is_noticed_within_two_keepalives(client: Client) -> None:
    broker = client.up()
    client.world.run(2 * KEEPALIVE_S + 1)
    assert broker.ended
    assert "down: no answer within the keepalive" in client.told


def test_a_ping_is_answered_in_time_whatever_else_is_said(client: Client) -> None:
    broker = client.up()
    client.world.run(KEEPALIVE_S)
    assert [packet.kind for packet in broker.heard()] == [PacketKind.PINGREQ]
    for _ in range(11):
        client.world.run(KEEPALIVE_S / 12)
        broker.say(wire.publish("a", b"said meanwhile"))
        client.send(b"sent meanwhile")
        broker.published()
        assert not broker.ended
    client.world.run(KEEPALIVE_S / 12 + 1)
    assert broker.ended


@pytest.mark.parametrize("idle_s", [0, 7, 29, 31, 59, 61])
def test_a_message_never_acknowledged_ends_the_connection_in_time_and_goes_again(
    client: Client, idle_s: float
) -> None:
    """A broker that lost it would otherwise lose it for good, however healthy its pings."""
    broker = client.up()

    def run(seconds: float) -> None:
        for _ in range(int(10 * seconds)):
            client.world.run(0.1)
            if any(packet.kind == PacketKind.PINGREQ for packet in broker.heard()):
                broker.say(wire.encode(PacketKind.PINGRESP))

    run(idle_s)
    client.send(b"precious")
    assert broker.published(acknowledge=False) == [b"precious"]
    run(ACK_TIMEOUT_S - 0.3)
    assert client.link.is_up()
    run(0.6)
    assert not client.link.is_up(), "the bound is what the protocol's document says"
    assert f"down: a message was not acknowledged within {ACK_TIMEOUT_S:.0f} s" in client.told
    assert client.world.wires[-1].accept().published() == [b"precious"]


@given(st.binary(min_size=1, max_size=200), st.booleans())
@settings(max_examples=300)
def test_garbage_from_the_broker_ends_the_connection_at_worst(
    new_world: Callable[[], Any], garbage: bytes, established: bool
) -> None:
    world = new_world()
    client = Client(world)
    broker = client.up() if established else client.start().open()
    broker.say(garbage)
    if not broker.ended:
        client.link.reconnect("the test's wish")
    _, broker = world.until_dial()
    broker.accept()
    client.send(b"works")
    assert broker.published() == [b"works"]


def test_a_fault_in_taking_in_a_message_does_not_end_the_connection(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    broker = client.up()
    broker.say(
        wire.publish("a", b"poison", qos=1, packet_id=1),
        wire.publish("a", b"good", qos=1, packet_id=2),
        wire.publish("a", b"kept", retain=True),
    )
    assert client.messages == [("a", b"good", False), ("a", b"kept", True)]
    assert [packet.kind for packet in broker.heard()] == [PacketKind.PUBACK, PacketKind.PUBACK]
    assert "could not take in a message on a" in caplog.text


@given(st.lists(st.integers(1, 40), min_size=1))
def test_packets_may_come_cut_anywhere(new_world: Callable[[], Any], cuts: list[int]) -> None:
    client = Client(new_world())
    broker = client.up()
    sent = [b"%d" % number for number in range(50)]
    stream = b"".join(wire.publish("a", payload, qos=1, packet_id=n + 1) for n, payload in enumerate(sent))
    while stream:
        for cut in cuts:
            if stream:
                broker.say(stream[:cut])
                stream = stream[cut:]
    assert [payload for _, payload, _ in client.messages] == sent


def test_the_end_of_an_old_channel_does_not_end_the_new_session(client: Client) -> None:
    old = client.up()
    client.link.reconnect("the test's wish")
    _, new = client.world.until_dial()
    new.accept()
    old.lose(ConnectionResetError())
    assert client.link.is_up()
    assert not new.ended


# --- holding --------------------------------------------------------------------------------------------


def test_what_was_not_acknowledged_goes_first_on_the_next_connection(client: Client) -> None:
    broker = client.up()
    client.send(*(b"%d" % n for n in range(IN_FLIGHT + 5)))
    assert len(broker.published(acknowledge=False)) == IN_FLIGHT
    broker.lose()
    client.send(b"later")
    assert client.link.held() == IN_FLIGHT + 6
    _, broker = client.world.until_dial()
    broker.accept()
    assert broker.published() == [b"%d" % n for n in range(IN_FLIGHT + 5)] + [b"later"]
    assert client.link.held() == 0


def test_beyond_the_limit_the_newest_is_refused(world: World) -> None:
    client = Client(world, hold_limit=2)
    assert client.send(b"1", b"2", b"3") == [True, True, False]
    assert client.up().published() == [b"1", b"2"]
    assert client.send(b"4") == [True]


def test_beyond_the_limit_the_oldest_is_dropped_where_so_wished(world: World) -> None:
    client = Client(world, hold_limit=2, drop_oldest=True)
    assert client.send(b"1", b"2", b"3", b"4") == [True] * 4
    assert client.dropped == [b"1", b"2"]
    assert client.link.dropped == 2
    assert client.up().published() == [b"3", b"4"]


def test_the_most_urgent_goes_first_and_equals_in_order(world: World) -> None:
    client = Client(world, hold_limit=10_000)
    for number in range(5000):
        client.link.send(("waits", b"%d" % number, False), 5)
    client.link.send(("urgent", b"first", False), 10)
    broker = client.up()
    client.link.send(("least", b"last", False), 1)
    client.link.send(("urgent", b"second", False), 10)
    got = broker.published(acknowledge=False)
    assert got[0] == b"first"
    broker.lose()
    _, broker = client.world.until_dial()
    broker.accept()
    assert broker.published() == [b"first", b"second", *(b"%d" % n for n in range(5000)), b"last"]


def test_told_when_idle(client: Client) -> None:
    told: list[str] = []
    client.link.when_idle(lambda: told.append("at once"))
    assert told == ["at once"]
    broker = client.up()
    client.send(b"1", b"2")
    client.link.when_idle(lambda: told.append("later"))
    client.link.when_idle(lambda: told.append("both"))
    assert told == ["at once"]
    broker.published()
    assert told == ["at once", "later", "both"]


def test_an_extra_subscription_may_be_refused(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    client.extras = [("extra", 0)]
    for number in (1, 2):
        broker = client.up() if number == 1 else client.world.until_dial()[1].accept()
        asked = [packet for packet in broker.heard() if packet.kind == PacketKind.SUBSCRIBE]
        assert len(asked) == (number == 1), "not again once it was refused"
        for packet in asked:
            broker.say(wire.encode(PacketKind.SUBACK, packet.body[:2] + b"\x80"))
        assert client.link.is_up()
        broker.lose()
    assert caplog.text.count("refused the subscription to extra") == 1


def test_an_extra_subscription_over_which_the_broker_closes_is_given_up(client: Client) -> None:
    """AWS IoT closes the connection instead of refusing."""
    client.extras = [("extra", 0)]
    for number in range(4):
        broker = client.up() if number == 0 else client.world.until_dial()[1].accept()
        asked = [packet.kind for packet in broker.heard()]
        assert asked == ([PacketKind.SUBSCRIBE] if number < 2 else [])
        if number < 2:
            broker.lose()
    assert client.link.is_up()


def test_thrown_out_again_and_again_it_says_what_may_be_the_cause(client: Client) -> None:
    client.start().lose()
    for _ in range(3):
        client.world.until_dial()[1].accept().lose()
    asked = "does another program use the client id 'me', be it in another namespace?"
    assert f"3 times in a row: {asked}" in client.link.last_error
    broker = client.world.until_dial()[1].accept()
    client.world.run(STABLE_S + 1)
    broker.lose()
    assert "another program" not in client.link.last_error


def test_what_is_said_now_is_not_said_later(client: Client) -> None:
    client.link.send_now([("s", b"lost", True)])
    broker = client.up()
    client.link.send_now([("s", b"now", True)])
    assert broker.published(acknowledge=False) == [b"now"]
    broker.lose()
    _, broker = client.world.until_dial()
    broker.accept()
    assert broker.published() == []


STEPS = st.one_of(
    st.tuples(st.just("send"), st.integers(1, 30)),
    st.tuples(st.just("acknowledge"), st.integers(1, 30)),
    st.tuples(st.just("lose"), st.just(0)),
    st.tuples(st.just("wait"), st.integers(1, 40)),
    st.tuples(st.just("answer"), st.just(0)),
)


@given(st.lists(STEPS, max_size=40))
@settings(max_examples=300)
def test_nothing_is_lost_or_reordered_whatever_happens_to_the_connection(
    new_world: Callable[[], Any], steps: list[tuple[str, int]]
) -> None:
    world = new_world()
    client = Client(world)
    client.start()
    sent = 0
    arrived: list[bytes] = []
    unacknowledged: list[int] = []
    listening: Any = None

    def listen() -> None:
        for packet in listening.heard() if listening else ():
            if packet.kind == PacketKind.PUBLISH:
                message = wire.read_publish(packet)
                arrived.append(message.payload)
                unacknowledged.append(message.packet_id)
                assert len(unacknowledged) <= IN_FLIGHT

    for step, count in [*steps, ("end", 0)]:
        listen()
        wire_now = world.wires[-1]
        if step == "send":
            client.send(*(b"%d" % n for n in range(sent, sent + count)))
            sent += count
        elif step == "acknowledge" and wire_now is listening:
            for packet_id in unacknowledged[:count]:
                listening.say(wire.acknowledgement(PacketKind.PUBACK, packet_id))
            del unacknowledged[:count]
        elif step == "lose":
            wire_now.lose()
        elif step == "wait":
            world.run(count)
        elif (
            step == "answer"
            and wire_now not in (listening, None)
            and not (wire_now.cancelled or wire_now.lost)
        ):
            listening, unacknowledged = wire_now, []
            listening.accept()
    world.wires[-1].lose()
    _, broker = world.until_dial()
    arrived += broker.accept().published()
    firsts = list(dict.fromkeys(arrived))
    assert firsts == [b"%d" % n for n in range(sent)]
    assert client.link.held() == 0


# --- ending ---------------------------------------------------------------------------------------------


def closing(client: Client, timeout_s: float = 2.0) -> list[str]:
    closed: list[str] = []
    client.link.close([("s", b"offline", True)], timeout_s, lambda: closed.append("closed"))
    return closed


def test_closing_sends_everything_then_the_last_word_then_disconnect(client: Client) -> None:
    broker = client.up()
    client.send(*(b"%d" % n for n in range(30)))
    closed = closing(client)
    assert closed == []
    assert broker.published() == [b"%d" % n for n in range(30)] + [b"offline"]
    assert closed == ["closed"]
    assert broker.ended == "closed"
    assert not client.link.is_up()
    client.world.run(1000)
    assert len(client.world.wires) == 1


def test_the_last_word_is_that_of_the_connection_on_which_it_is_said(client: Client) -> None:
    """A hunt of the swarm: a node that left while its broker was stopped said goodbye for the connection
    before, over the next one, and over the status that this had said of itself."""
    client.greeting = [("s", b"connected 1", True)]
    client.up().published()
    client.send(b"result")
    closed = closing(client)
    world = client.world
    world.wires[-1].lose()
    client.greeting = [("s", b"offline 2", True)]
    _, broker = world.until_dial()
    assert broker.accept().published() == [b"offline 2", b"result"]
    assert closed == ["closed"]


def test_who_gets_what_is_held_has_heard_the_status_before(client: Client) -> None:
    """A hunt of the swarm: leaving overtook a status that waited for room, and not the result behind it."""
    client.greeting = [("hello", b"hello", False), ("s", b"ready", True)]
    client.up().published()
    client.send(b"result")
    client.world.wires[-1].lose()
    broker = client.world.until_dial()[1].accept()  # one at a time, for the broker has closed over something
    closed = closing(client)
    assert broker.published() == [b"hello", b"ready", b"result", b"offline"]
    assert closed == ["closed"]


def test_disconnect_comes_after_the_last_acknowledgement(client: Client) -> None:
    broker = client.up()
    closing(client)
    (offline,) = broker.heard()
    assert offline.kind == PacketKind.PUBLISH
    broker.say(wire.acknowledgement(PacketKind.PUBACK, wire.read_publish(offline).packet_id))
    assert [packet.kind for packet in broker.heard()] == [PacketKind.DISCONNECT]


def test_without_acknowledgement_closing_is_a_crash_in_time(client: Client) -> None:
    broker = client.up()
    closed = closing(client, timeout_s=2)
    client.world.run(1.9)
    assert closed == []
    client.world.run(0.2)
    assert closed == ["closed"]
    assert broker.ended == "aborted"
    assert PacketKind.DISCONNECT not in [packet.kind for packet in broker.heard()], "the will has to come"


def test_closing_without_a_connection_gives_up_the_attempt(client: Client) -> None:
    broker = client.start()
    assert closing(client) == ["closed"]
    assert broker.cancelled
    client.world.run(1000)
    assert len(client.world.wires) == 1
    assert "first outcome" in client.told, "who waits in start() is told"


def test_a_link_that_is_down_connects_to_send_what_is_held_within_the_limit(client: Client) -> None:
    client.send(b"precious")
    client.start().lose()
    closed = closing(client, timeout_s=60)
    assert closed == []
    _, broker = client.world.until_dial()
    broker.accept()
    assert broker.published() == [b"precious", b"offline"]
    assert (closed, broker.ended, client.link.unsent()) == (["closed"], "closed", [])


def test_what_was_not_sent_within_the_limit_is_known_and_goes_on_the_next_start(client: Client) -> None:
    client.send(b"precious")
    client.start()
    closed = closing(client, timeout_s=2)
    client.world.run(3)
    assert closed == ["closed"]
    assert [payload for _, payload, _ in client.link.unsent()] == [b"precious"], "less the last word"
    assert client.up().published() == [b"precious"], "a last word of then would be a lie now"


def test_a_connection_lost_while_closing_is_the_end(client: Client) -> None:
    broker = client.up()
    closed = closing(client)
    broker.lose()
    assert closed == ["closed"]
    client.world.run(1000)
    assert len(client.world.wires) == 1


def test_everyone_who_closes_waits_for_the_same_end(client: Client) -> None:
    broker = client.up()
    first, second = closing(client), closing(client)
    assert first == second == []
    assert broker.published() == [b"offline"]
    assert first == second == ["closed"]
    assert closing(client) == ["closed"]


def test_the_limit_of_one_close_is_not_the_next_ones(client: Client) -> None:
    client.up()
    closing(client, timeout_s=10)
    client.world.wires[-1].published()
    client.world.run(9)
    broker = client.up()
    closed = closing(client, timeout_s=10)
    client.world.run(2)
    assert closed == []
    assert broker.published() == [b"offline"]
    assert broker.ended == "closed"


def test_it_can_be_started_again(client: Client) -> None:
    client.up()
    closing(client)
    client.world.wires[-1].published()
    client.send(b"held meanwhile")
    assert client.up().published() == [b"held meanwhile"]


def test_killed_it_says_nothing_more(client: Client) -> None:
    broker = client.up()
    client.send(b"x")
    broker.heard()
    client.link.kill()
    assert broker.ended == "aborted"
    assert broker.heard() == []
    client.world.run(1000)
    assert len(client.world.wires) == 1


# --- words ----------------------------------------------------------------------------------------------


def test_certificate_errors_say_what_is_wrong_with_it() -> None:
    error = ssl.SSLCertVerificationError(1, "x")
    error.verify_message = "certificate has expired"
    assert (
        explain(error, ADDRESS) == "the certificate of broker:1883 was not accepted: certificate has expired"
    )


def test_a_password_is_in_no_repr() -> None:
    assert "secret" not in repr(SessionSettings("me", 60, "user", "secret"))


@pytest.mark.parametrize("keepalive", [0, -1, 65536, 2.5, "60"])
def test_a_keepalive_that_mqtt_cannot_carry_is_refused(keepalive: Any) -> None:
    with pytest.raises(ValueError, match="keepalive must be from 1 to 65535"):
        SessionSettings("me", keepalive)


def test_a_password_needs_a_user() -> None:
    with pytest.raises(ValueError, match="needs a username"):
        SessionSettings("me", 60, None, "secret")


# --- floods ---------------------------------------------------------------------------------------------


def test_a_flood_of_statuses_is_bounded_and_its_newest_arrives(client: Client) -> None:
    """Were all of them in flight, a graceful exit would wait for a thousand PUBACKs, in vain."""
    broker = client.up()
    for number in range(1000):
        client.link.send_now([("me/status", b"%d" % number, True)])
    client.send(b"result")
    unanswered = [packet for packet in broker.heard() if packet.kind == PacketKind.PUBLISH]
    assert len(unanswered) == SAME_TOPIC_IN_FLIGHT + 1, "the result does not wait behind the statuses"
    broker.say(wire.acknowledgement(PacketKind.PUBACK, wire.read_publish(unanswered[0]).packet_id))
    assert broker.published() == [b"999"]


def test_of_other_topics_nothing_is_left_out(client: Client) -> None:
    broker = client.up()
    client.link.send_now([(f"{number}/task", b"%d" % number, False) for number in range(100)])
    first = [wire.read_publish(packet) for packet in broker.heard() if packet.kind == PacketKind.PUBLISH]
    assert len(first) == URGENT_IN_FLIGHT
    for publish in first:
        broker.say(wire.acknowledgement(PacketKind.PUBACK, publish.packet_id))
    assert broker.published() == [b"%d" % number for number in range(URGENT_IN_FLIGHT, 100)]


def test_a_topic_that_waits_holds_up_no_other(client: Client) -> None:
    broker = client.up()
    client.link.send_now([("a", b"%d" % number, True) for number in range(5)])
    client.link.send_now([("b", b"5", True)])
    sent = [wire.read_publish(packet) for packet in broker.heard() if packet.kind == PacketKind.PUBLISH]
    assert [publish.payload for publish in sent] == [b"0", b"1", b"5"]
    broker.say(wire.acknowledgement(PacketKind.PUBACK, sent[0].packet_id))
    assert broker.published() == [b"4"], "the newest"


def test_what_a_flood_left_waiting_does_not_follow_the_last_word(client: Client) -> None:
    broker = client.up()
    for number in range(100):
        client.link.send_now([("me/status", b"%d" % number, True)])
    client.link.close([("me/status", b"offline", True)], 2, lambda: client.told.append("closed"))
    assert broker.published()[-1] == b"offline"
    assert client.told[-1] == "closed"


def test_what_is_held_is_not_held_again_for_who_sends_again(client: Client) -> None:
    broker = client.up()
    large, other = (letter * (ONCE_BYTES + 1) for letter in (b"x", b"y"))
    for payload in (large, large, other, large):
        client.link.send_once([("t", payload, False)])
    assert client.link.held() == 2
    [first, second] = [wire.read_publish(p) for p in broker.heard() if p.kind == PacketKind.PUBLISH]
    assert (first.payload, second.payload) == (large, other)
    broker.say(wire.acknowledgement(PacketKind.PUBACK, first.packet_id))
    client.link.send_once([("t", large, False)])
    assert broker.published() == [large], "it arrived, and is asked for once more"


def test_what_goes_once_is_suspected_too(world: World) -> None:
    client = Client(world)
    broker = client.up()

    def qualities(*sizes: int) -> list[int]:
        client.link.send_once([("t", b"x" * size, False) for size in sizes])
        found = [wire.read_publish(packet) for packet in broker.heard() if packet.kind == PacketKind.PUBLISH]
        for publish in found:
            if publish.qos:
                broker.say(wire.acknowledgement(PacketKind.PUBACK, publish.packet_id))
        return [publish.qos for publish in sorted(found, key=lambda publish: len(publish.payload))]

    assert qualities(10, 500, ONCE_BYTES, ONCE_BYTES + 1) == [0, 0, 0, 1]
    broker.lose()
    _, broker = world.until_dial()
    broker.accept()
    assert qualities(10, ONCE_BYTES - 1, ONCE_BYTES) == [0, 0, 0], "so large a one was acknowledged"

    client = Client(world)
    broker = client.up()
    assert qualities(10, 500) == [0, 0]
    broker.lose()
    _, broker = world.until_dial()
    broker.accept()
    assert qualities(10, 499, 500, 600) == [0, 0, 1, 1]
    assert qualities(10, 500, 600, 601) == [0, 0, 0, 1], "acknowledged, it is innocent"
