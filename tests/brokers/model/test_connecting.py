"""CONNECT, CONNACK, DISCONNECT, keepalive and takeover (sections 3.1, 3.2, 3.12, 3.14)."""

from __future__ import annotations

import pytest
from dcompute_sim.brokers.conformance import wire
from dcompute_sim.brokers.conformance.wire import ClientWill, PacketKind
from dcompute_sim.brokers.model import MOSQUITTO_KEEPALIVE_STEP_S, BrokerConfig, ReturnCode

from .conftest import Bench

DEAD = ClientWill("will", b"dead", qos=1)


def raw_connect(
    *fields: bytes,
    name: bytes = b"MQTT",
    level: int = 4,
    flags: int = 0x02,
    header: int = 0,
    end: bytes = b"",
) -> bytes:
    body = len(name).to_bytes(2, "big") + name + bytes([level, flags, 0, 60])
    body += b"".join(len(field).to_bytes(2, "big") + field for field in fields)
    return wire.encode(PacketKind.CONNECT, body + end, header)


# --- CONNECT and its answer --------------------------------------------------------------------------------


def test_a_client_is_let_in(bench: Bench) -> None:
    assert bench.connect("a").got() == ["CONNACK 0"]
    assert bench.told == ["opened a"]


@pytest.mark.parametrize(
    ("rule", "packet"),
    [
        ("MQTT-3.1.0-1", wire.encode(PacketKind.PINGREQ)),
        ("MQTT-3.1.0-1", b"GET / HTTP/1.1\r\n"),
        ("MQTT-2.2.2-2", raw_connect(b"a", header=1)),
        ("MQTT-3.1.2-1", raw_connect(b"a", name=b"MQTX")),
        ("MQTT-3.1.2-3", raw_connect(b"a", flags=0x03)),
        ("MQTT-3.1.2-13", raw_connect(b"a", flags=0x0A)),
        ("MQTT-3.1.2-14", raw_connect(b"a", b"t", b"p", flags=0x1E)),
        ("MQTT-3.1.2-15", raw_connect(b"a", flags=0x22)),
        ("MQTT-3.1.2-22", raw_connect(b"a", b"p", flags=0x42)),
        ("MQTT-3.1.3-3", raw_connect()),
        ("MQTT-3.1.3-4", raw_connect(b"\xff")),
        ("MQTT-3.1.3-10", raw_connect(b"a", b"\xff", b"p", flags=0x06)),
        ("MQTT-3.1.3-11", raw_connect(b"a", b"\xff", flags=0x82)),
        ("MQTT-4.7.1-1", raw_connect(b"a", b"will/#", b"p", flags=0x06)),
        ("MQTT-4.7.3-1", raw_connect(b"a", b"", b"p", flags=0x06)),
        ("2.2.3", raw_connect(b"a", end=b"more")),
        ("2.2.3", b"\x10\xff\xff\xff\x7f"),
    ],
)
def test_no_mqtt_is_answered_by_closing(bench: Bench, rule: str, packet: bytes) -> None:
    peer = bench.open().send(packet)
    assert peer.closed, rule
    assert peer.got() == []
    assert not bench.broker.sessions
    assert [line.split(":")[0] for line in bench.told] == ["refused "]


@pytest.mark.parametrize(
    ("code", "packet"),
    [
        (ReturnCode.UNACCEPTABLE_PROTOCOL_VERSION, raw_connect(b"a", level=3)),  # [MQTT-3.1.2-2]
        (
            0x84,
            raw_connect(b"a", level=5),
        ),  # MQTT 5's "unsupported protocol version", in a CONNACK of its form
        (ReturnCode.IDENTIFIER_REJECTED, raw_connect(b"", flags=0)),  # [MQTT-3.1.3-8]
    ],
)
def test_a_refusal_says_why_and_closes(bench: Bench, code: int, packet: bytes) -> None:
    peer = bench.open().send(packet)
    assert peer.got() == [f"CONNACK {code}"]
    assert peer.closed  # [MQTT-3.2.2-5]
    assert not bench.broker.sessions


def test_an_empty_id_gets_a_name_of_its_own(bench: Bench) -> None:
    """[MQTT-3.1.3-6], [MQTT-3.1.3-7]"""
    peers = [bench.client(""), bench.client("")]
    assert not any(peer.closed for peer in peers)
    assert len(bench.broker.sessions) == 2


def test_an_assigned_name_is_not_that_of_another_client(bench: Bench) -> None:
    other = bench.client("auto-1")
    bench.client("")
    assert not other.closed


def test_credentials_are_checked(bench: Bench) -> None:
    asked = []

    def authenticate(client_id: str, user: str | None, password: bytes | None) -> ReturnCode:
        asked.append((client_id, user, password))
        if user is None:
            return ReturnCode.NOT_AUTHORIZED
        return ReturnCode.ACCEPTED if password == b"right" else ReturnCode.BAD_USER_NAME_OR_PASSWORD

    bench.configure(authenticate=authenticate)
    assert bench.connect("a", username="u", password="right").got() == ["CONNACK 0"]
    for options, code in (({"username": "u", "password": "wrong"}, 4), ({"username": "u"}, 4), ({}, 5)):
        peer = bench.connect("b", **options)
        assert peer.got() == [f"CONNACK {code}"]
        assert peer.closed
    assert asked == [("a", "u", b"right"), ("b", "u", b"wrong"), ("b", "u", None), ("b", None, None)]


def test_who_is_refused_takes_nobody_over(bench: Bench) -> None:
    bench.configure(
        authenticate=lambda _, user, __: ReturnCode.ACCEPTED if user else ReturnCode.NOT_AUTHORIZED
    )
    victim = bench.client("a", username="u")
    bench.connect("a")
    assert not victim.closed


def test_no_more_clients_than_allowed(bench: Bench) -> None:
    bench.configure(max_connections=2)
    first, _ = bench.client("a"), bench.client("b")
    refused = bench.connect("c")
    assert refused.got() == ["CONNACK 3"]
    assert refused.closed
    successor = bench.client("a")  # takes the place of the first
    assert first.closed
    successor.disconnect()
    bench.client("c")


def test_packets_right_behind_connect_are_served(bench: Bench) -> None:
    """A client need not wait for CONNACK (3.1.4)."""
    peer = bench.open().send(wire.connect("a") + wire.subscribe(1, [("t", 0)]) + wire.publish("t", b"x"))
    assert peer.got() == ["CONNACK 0", "SUBACK 1 0", "PUBLISH t x"]


def test_config_that_cannot_work_is_refused() -> None:
    for window in (0, 65_536):
        with pytest.raises(ValueError, match="must be"):
            BrokerConfig(inflight_window=window)
    with pytest.raises(ValueError, match="must be"):
        BrokerConfig(max_packet_bytes=10)


# --- the end of a connection -------------------------------------------------------------------------------


def test_ping_is_answered(bench: Bench) -> None:
    """[MQTT-3.12.4-1]"""
    assert bench.client("a").send(wire.encode(PacketKind.PINGREQ)).got() == ["PINGRESP"]


def test_disconnect_discards_the_will(bench: Bench) -> None:
    """[MQTT-3.14.4-3], [MQTT-3.1.2-10]"""
    watcher = bench.client("watcher").subscribe("will")
    peer = bench.client("a", will=DEAD)
    peer.disconnect()
    assert peer.closed
    peer.lose()
    assert watcher.got() == []
    assert bench.told[-1] == "closed a: disconnect"


def test_nothing_is_done_after_disconnect(bench: Bench) -> None:
    watcher = bench.client("watcher").subscribe("t")
    bench.client("a").send(
        wire.encode(PacketKind.DISCONNECT) + wire.publish("t", b"x"), wire.publish("t", b"y")
    )
    assert watcher.got() == []


@pytest.mark.parametrize("how", ["lost", "protocol error", "keepalive", "broker stops"])
def test_every_other_end_publishes_the_will(bench: Bench, how: str) -> None:
    """[MQTT-3.1.2-8] and the list in 3.1.2.5"""
    watcher = bench.client("watcher", keepalive_s=0).subscribe("will", qos=2)
    peer = bench.client("a", will=DEAD, keepalive_s=10)
    if how == "lost":
        peer.lose()
    elif how == "protocol error":
        peer.send(b"\xf0\0")
    elif how == "keepalive":
        bench.advance_to(20.0)
    else:
        watcher = bench.client("watcher", clean=False, keepalive_s=0).subscribe("will", qos=2)
        bench.broker.stop()
        assert peer.closed
        bench.restart()
        assert bench.connect("watcher", clean=False).got() == [
            "CONNACK 0 present",
            "PUBLISH will dead qos1 #1",
        ]
        return
    assert watcher.got() == ["PUBLISH will dead qos1 #1"]
    assert "will of a to will" in bench.told
    assert peer.closed is (how != "lost")


@pytest.mark.parametrize("retain", [False, True])
def test_a_will_is_retained_if_it_says_so(bench: Bench, retain: bool) -> None:
    """[MQTT-3.1.2-16], [MQTT-3.1.2-17]"""
    bench.client("a", will=ClientWill("will", b"dead", qos=1, retain=retain)).lose()
    later = bench.client("later").send(wire.subscribe(1, [("will", 0)]))
    assert later.got()[1:] == (["PUBLISH will dead retain"] if retain else [])


# --- keepalive ---------------------------------------------------------------------------------------------


def test_silence_of_one_and_a_half_keepalives_closes(bench: Bench) -> None:
    """[MQTT-3.1.2-24]"""
    peer = bench.client("a", keepalive_s=10)
    bench.advance_to(14.999)
    assert not peer.closed
    bench.advance_to(15.0)
    assert peer.closed
    assert bench.told[-1] == "closed a: keepalive expired"
    assert bench.broker.next_deadline_s() is None


def test_each_whole_packet_counts(bench: Bench) -> None:
    peer = bench.client("a", keepalive_s=10)
    for now_s in (14.0, 28.0, 42.0):
        bench.advance_to(now_s)
        peer.publish("t")
    bench.advance_to(56.0)
    assert not peer.closed
    peer.send(wire.publish("t", b"x")[:3])  # half a packet is none
    bench.advance_to(57.0)
    assert peer.closed


def test_what_is_sent_to_a_client_does_not_count(bench: Bench) -> None:
    peer = bench.client("a", keepalive_s=10).subscribe("t")
    other = bench.client("b", keepalive_s=0)
    bench.advance_to(10.0)
    other.publish("t")
    bench.advance_to(15.0)
    assert peer.closed


def test_keepalive_zero_may_be_silent_for_ever(bench: Bench) -> None:
    """3.1.2.10"""
    peer = bench.client("a", keepalive_s=0)
    bench.advance_to(1e9)
    assert bench.broker.next_deadline_s() is None
    assert not peer.closed


def test_mosquitto_looks_every_six_seconds(bench: Bench) -> None:
    bench.configure(keepalive_step_s=MOSQUITTO_KEEPALIVE_STEP_S)
    peer = bench.client("a", keepalive_s=10)
    bench.advance_to(17.999)
    assert not peer.closed
    bench.advance_to(18.0)
    assert peer.closed


def test_many_keepalives_end_at_their_own_times(bench: Bench) -> None:
    peers = {number: bench.client(f"n{number}", keepalive_s=number) for number in (7, 3, 5, 3, 60)}
    ends: dict[int, float] = {}
    for tenth in range(1000):
        bench.advance_to(tenth / 10)
        for number, peer in peers.items():
            if peer.closed:
                ends.setdefault(number, tenth / 10)
    assert ends == {3: 4.5, 5: 7.5, 7: 10.5, 60: 90.0}


def test_a_fleet_of_one_keepalive_needs_few_ticks(bench: Bench) -> None:
    """A tick a message or a client would cost virtual time its speed."""
    fleet = [bench.client(f"n{number}", keepalive_s=60) for number in range(100)]
    ticks = 0
    for second in range(600):
        deadline_s = bench.broker.next_deadline_s()
        ticks += deadline_s is not None and deadline_s <= second
        bench.advance_to(float(second))
        for peer in fleet[second % 60 :: 60]:
            peer.send(wire.encode(PacketKind.PINGREQ))
    assert not any(peer.closed for peer in fleet)
    assert ticks < 30


def test_a_connection_that_never_says_connect_is_closed(bench: Bench) -> None:
    bench.configure(connect_timeout_s=5.0)
    silent, slow, client = bench.open(), bench.open().send(wire.connect("a")[:4]), bench.client("b")
    bench.advance_to(5.0)
    assert silent.closed
    assert slow.closed
    assert not client.closed
    assert bench.told[-2:] == ["refused : no CONNECT in time"] * 2


# --- takeover [MQTT-3.1.4-2] -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old_clean", "new_clean", "will"),
    [(True, True, True), (True, False, True), (False, True, True), (False, False, False)],
)
def test_a_successor_takes_over(bench: Bench, old_clean: bool, new_clean: bool, will: bool) -> None:
    """The will before the successor's messages; none where one kept session goes on."""
    watcher = bench.client("watcher").subscribe("will", "t")
    old = bench.client("a", clean=old_clean, will=DEAD)
    new = bench.open().send(wire.connect("a", clean=new_clean) + wire.publish("t", b"ready"))
    assert old.closed
    assert not new.closed
    assert watcher.got() == ["PUBLISH will dead"] * will + ["PUBLISH t ready"]
    assert "closed a: taken over" in bench.told


def test_the_end_of_the_old_connection_does_not_touch_the_successor(bench: Bench) -> None:
    watcher = bench.client("watcher").subscribe("will", "t")
    old = bench.client("a", will=DEAD)
    new = bench.client("a", will=DEAD).subscribe("t")
    watcher.got()
    old.send(wire.publish("t", b"late"))
    old.lose()
    bench.client("b").publish("t", "hello")
    assert watcher.got() == ["PUBLISH t hello"]
    assert new.got() == ["PUBLISH t hello"]
    new.lose()
    assert watcher.got() == ["PUBLISH will dead"]


def test_a_talkative_client_does_not_hide_a_silent_one(bench: Bench) -> None:
    talkative, silent = bench.client("a", keepalive_s=10), bench.client("b", keepalive_s=10)
    for now_s in (5.0, 10.0, 14.0):
        bench.advance_to(now_s)
        talkative.send(wire.encode(PacketKind.PINGREQ))
    bench.advance_to(15.0)
    assert silent.closed
    assert not talkative.closed
