"""What breaks the protocol closes that one connection, and publishes its will [MQTT-4.8.0-1]."""

from __future__ import annotations

import pytest
from dcompute_sim.brokers.conformance import wire
from dcompute_sim.brokers.conformance.wire import ClientWill, PacketKind

from .conftest import Bench


def publish_to(topic: bytes) -> bytes:
    return wire.encode(PacketKind.PUBLISH, len(topic).to_bytes(2, "big") + topic + b"x")


def subscribe_to(topic_filter: bytes, qos: int = 0) -> bytes:
    return wire.encode(
        PacketKind.SUBSCRIBE, b"\0\1" + len(topic_filter).to_bytes(2, "big") + topic_filter + bytes([qos])
    )


MALFORMED = [
    ("MQTT-3.1.0-2", wire.connect("again")),
    ("2.2.1 reserved type 0", b"\0\0"),
    ("2.2.1 reserved type 15", b"\xf0\0"),
    ("2.2.1 a server's CONNACK", b"\x20\2\0\0"),
    ("2.2.1 a server's SUBACK", b"\x90\3\0\1\0"),
    ("2.2.1 a server's UNSUBACK", b"\xb0\2\0\1"),
    ("2.2.1 a server's PINGRESP", b"\xd0\0"),
    ("MQTT-2.2.2-2 PINGREQ flags", b"\xc1\0"),
    ("MQTT-2.2.2-2 PUBACK flags", b"\x42\2\0\1"),
    ("MQTT-2.2.2-2 PUBREC flags", b"\x51\2\0\1"),
    ("MQTT-2.2.2-2 PUBCOMP flags", b"\x78\2\0\1"),
    ("MQTT-3.6.1-1 PUBREL flags", b"\x60\2\0\1"),
    ("MQTT-3.8.1-1 SUBSCRIBE flags", wire.encode(PacketKind.SUBSCRIBE, b"\0\1\0\1t\0", flags=0)),
    ("MQTT-3.10.1-1 UNSUBSCRIBE flags", wire.encode(PacketKind.UNSUBSCRIBE, b"\0\1\0\1t", flags=0)),
    ("MQTT-3.14.1-1 DISCONNECT flags", b"\xe1\0"),
    ("3.12.2 PINGREQ with a body", b"\xc0\1x"),
    ("3.14.2 DISCONNECT with a body", b"\xe0\1x"),
    ("2.2.3 remaining length of five bytes", b"\xc0\x80\x80\x80\x80\0"),
    ("2.3.1 PUBACK without an id", b"\x40\1\0"),
    ("3.4.2 PUBACK with more than an id", b"\x40\3\0\1x"),
    ("MQTT-2.3.1-1 PUBLISH with id 0", wire.publish("t", b"x", qos=1, packet_id=0)),
    ("MQTT-2.3.1-1 SUBSCRIBE with id 0", wire.subscribe(0, [("t", 0)])),
    ("MQTT-2.3.1-1 UNSUBSCRIBE with id 0", wire.unsubscribe(0, ["t"])),
    ("MQTT-2.3.1-1 PUBACK with id 0", b"\x40\2\0\0"),
    ("MQTT-2.3.1-1 PUBREL with id 0", b"\x62\2\0\0"),
    ("MQTT-3.3.1-2 DUP at QoS 0", wire.publish("t", b"x", dup=True)),
    ("MQTT-3.3.1-4 QoS 3", wire.publish("t", b"x", qos=3, packet_id=1)),
    ("3.3.2 PUBLISH without a topic", b"\x30\1\0"),
    ("3.3.2 PUBLISH shorter than its topic", b"\x30\4\0\5ab"),
    ("3.3.2 PUBLISH without room for its id", b"\x32\4\0\1t\0"),
    ("MQTT-3.3.2-2 wildcard +", publish_to(b"a/+")),
    ("MQTT-3.3.2-2 wildcard #", publish_to(b"#")),
    ("MQTT-4.7.3-1 empty topic", publish_to(b"")),
    ("MQTT-4.7.3-2 U+0000", publish_to(b"a\0b")),
    ("MQTT-1.5.3-1 not UTF-8", publish_to(b"\xc3\x28")),
    ("MQTT-1.5.3-1 overlong", publish_to(b"\xc0\xaf")),
    ("MQTT-1.5.3-1 surrogate", publish_to(b"\xed\xa0\x80")),
    ("1.5.3 control character", publish_to(b"\x1f")),
    ("1.5.3 control character C1", publish_to("\x9f".encode())),
    ("1.5.3 non-character", publish_to("\ufdd0".encode())),
    ("1.5.3 non-character in a higher plane", publish_to("\U0010ffff".encode())),
    ("more levels than we keep", publish_to(b"/" * 201)),
    ("MQTT-3.8.3-3 no filter", wire.encode(PacketKind.SUBSCRIBE, b"\0\1")),
    ("MQTT-3.8.3-4 QoS 3", subscribe_to(b"t", 3)),
    ("MQTT-3.8.3-4 reserved bits", subscribe_to(b"t", 0x80)),
    ("3.8.3 a filter without its QoS", wire.encode(PacketKind.SUBSCRIBE, b"\0\1\0\1t")),
    ("MQTT-3.8.3-1 not UTF-8", subscribe_to(b"\xff")),
    ("MQTT-4.7.3-1 empty filter", subscribe_to(b"")),
    ("MQTT-4.7.1-2 # before the end", subscribe_to(b"a/#/b")),
    ("MQTT-4.7.1-2 # beside something", subscribe_to(b"a#")),
    ("MQTT-4.7.1-2 two #", subscribe_to(b"#/#")),
    ("MQTT-4.7.1-3 + beside something", subscribe_to(b"a+/b")),
    ("more levels than we keep", subscribe_to(b"+/" * 201)),
    ("MQTT-3.10.3-2 no filter", wire.encode(PacketKind.UNSUBSCRIBE, b"\0\1")),
    ("MQTT-3.10.3-1 not UTF-8", wire.encode(PacketKind.UNSUBSCRIBE, b"\0\1\0\1\xff")),
]


@pytest.mark.parametrize(("rule", "data"), MALFORMED, ids=[rule for rule, _ in MALFORMED])
def test_it_closes_the_connection_and_no_other(bench: Bench, rule: str, data: bytes) -> None:
    bystander = bench.client("bystander").subscribe("#")
    offender = bench.client("offender", will=ClientWill("will", b"dead"))
    offender.send(data + wire.publish("t", b"after it"))
    assert offender.closed
    assert offender.got() == []
    assert bystander.got() == ["PUBLISH will dead"]
    assert "closed offender: protocol error: " in bench.told[-2]
    bench.client("offender").publish("t")
    assert bystander.got() == ["PUBLISH t x"]


@pytest.mark.parametrize(
    "topic", ["a", "/", "a//b", " ", "ключ/ß/😀", "\ufeffa", "$SYS/x", "a$", "x" * 65_535, "/" * 200]
)
def test_unusual_topics_are_topics(bench: Bench, topic: str) -> None:
    """4.7.3; U+FEFF is not stripped [MQTT-1.5.3-3]."""
    peer = bench.client("a").subscribe(topic, qos=1).publish(topic, "x", qos=1, retain=True)
    assert peer.got() == [f"PUBLISH {topic} x qos1 #1", "PUBACK 1"]


@pytest.mark.parametrize("cut", [False, True])
def test_a_packet_beyond_the_limit_closes(bench: Bench, cut: bool) -> None:
    """Whether it comes whole or its beginning first, so that nobody makes us hold it."""
    bench.configure(max_packet_bytes=1000)
    fits, exceeds = wire.publish("t", b"x" * 985), wire.publish("t", b"x" * 1000)
    peer = bench.client("a").subscribe("t").send(fits)
    assert len(peer.got()) == 1
    peer.send(exceeds[:10] if cut else exceeds)
    assert peer.closed


def test_bytes_after_the_end_are_ignored(bench: Bench) -> None:
    peer = bench.client("a")
    peer.lose()
    peer.send(wire.publish("t", b"x"))
    peer.lose()
    assert bench.told == ["opened a", "closed a: connection lost"]
