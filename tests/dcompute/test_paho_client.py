"""The private names of paho that our client replaces or leans on are still what they were."""

from __future__ import annotations

import inspect

import paho.mqtt.client as paho
import pytest
from paho.mqtt.client import MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from dcompute._mqtt.paho_client import MalformedPacket, PahoClient

REPLACED = {
    "_create_socket": ["self"],
    "_mid_generate": ["self"],
    "_send_pingreq": ["self"],
    "_packet_queue": ["self", "command", "packet", "mid", "qos", "info"],
}
LEANED_ON = {
    "_packet_handle": ["self"],
    "_loop_rc_handle": ["self", "rc"],
    "_send_publish": ["self", "mid", "topic", "payload", "qos", "retain", "dup", "info", "properties"],
    "_send_subscribe": ["self", "dup", "topics", "properties"],
    "_sock_close": ["self"],
}
ATTRIBUTES = (
    "_sock",
    "_out_packet",
    "_last_bytes_received",
    "_last_mid",
    "_last_msg_out",
    "_in_packet",
    "_ping_t",
    "_state",
    "_on_message_filtered",
    "_proxy",
    "_transport",
    "_callback_mutex",
)


@pytest.mark.parametrize(("name", "parameters"), sorted({**REPLACED, **LEANED_ON}.items()))
def test_paho_has_the_method(name: str, parameters: list[str]) -> None:
    method = getattr(paho.Client, name, None)
    assert method is not None, f"paho has no {name} any more: see dcompute/_mqtt/paho_client.py"
    assert list(inspect.signature(method).parameters) == parameters


def test_the_topic_of_a_message_is_there_as_bytes() -> None:
    """Read without decoding: `topic` is a property that decodes at each look."""
    assert MQTTMessage(topic=b"t")._topic == b"t"


def test_paho_has_the_attributes() -> None:
    plain = vars(paho.Client(CallbackAPIVersion.VERSION2, "x"))
    missing = [name for name in ATTRIBUTES if name not in plain]
    assert not missing, f"paho has no {missing} any more: see dcompute/_mqtt/paho_client.py"
    assert type(plain["_state"]).MQTT_CS_CONNECTED
    assert set(plain["_in_packet"]) == {
        "command",
        "have_remaining",
        "remaining_count",
        "remaining_mult",
        "remaining_length",
        "packet",
        "to_process",
        "pos",
    }


def published(payload: bytes) -> bytes:
    body = b"\x00\x01t" + payload
    length, head = len(body), b""
    while True:
        length, digit = divmod(length, 128)
        head += bytes([digit | (0x80 if length else 0)])
        if not length:
            return b"\x30" + head + body


class _Inbox:
    def __init__(self, got: list[bytes]) -> None:
        self._got = got

    def packet_message(self, topic: bytes, payload: bytes, retained: bool) -> None:
        self._got.append(payload)

    def packet_connected(self, code: int) -> None:
        assert code == 0

    def packet_acknowledged(self, mid: int) -> None:
        pass

    def packet_subscribed(self, mid: int, granted: bool) -> None:
        pass


def connected() -> tuple[PahoClient, list[bytes]]:
    got: list[bytes] = []
    client = PahoClient("x", _Inbox(got))
    client.connect_async("memory", 1)
    client.reconnect()
    client.feed(b"\x20\x02\x00\x00")
    return client, got


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 100, 5000])
def test_any_chunks_give_the_same_messages(chunk: int) -> None:
    client, got = connected()
    payloads = [b"a", b"b" * 127, b"c" * 128, b"", b"d" * 20_000, b"e"]
    stream = b"".join(map(published, payloads))
    for start in range(0, len(stream), chunk):
        client.feed(stream[start : start + chunk])
    assert got == payloads


@pytest.mark.parametrize("qos", [0, 1])
@pytest.mark.parametrize("n_bytes", [0, 1, 120, 122, 123, 124, 128, 16_376, 16_377, 16_380, 2_097_160])
def test_a_publish_is_encoded_as_paho_does(n_bytes: int, qos: int) -> None:
    client, _ = connected()
    client.outbox.clear()
    mid = client.send_publish("t/\u00e9", b"x" * n_bytes, qos, True)
    client._send_publish(mid, "t/\u00e9".encode(), b"x" * n_bytes, qos, True)
    ours, pahos = client.outbox
    assert ours == pahos


@pytest.mark.parametrize("topics", [[("t", 0)], [("t/\u00e9", 1), ("+/status", 0), ("x" * 200, 2)]])
def test_a_subscribe_is_encoded_as_paho_does(topics: list[tuple[str, int]]) -> None:
    client, _ = connected()
    client.outbox.clear()
    mid = client.send_subscribe(topics)
    client._last_mid = mid - 1
    assert client._send_subscribe(0, [(name.encode(), qos) for name, qos in topics])[1] == mid
    ours, pahos = client.outbox
    assert ours == pahos


def test_ids_of_messages_begin_anew_after_the_last_as_pahos_do() -> None:
    ours, pahos = PahoClient("x", _Inbox([])), paho.Client(CallbackAPIVersion.VERSION2, "x")
    ours._last_mid = pahos._last_mid = 65_534
    assert (
        [ours._mid_generate() for _ in range(3)]
        == [pahos._mid_generate() for _ in range(3)]
        == [65_535, 1, 2]
    )


def test_a_huge_message_is_not_copied_for_each_chunk() -> None:
    client, got = connected()
    stream = published(b"x" * 3_000_000)
    for start in range(0, len(stream) - 1000, 1000):
        client.feed(stream[start : start + 1000])
        assert len(client.unread) == 1000
    client.feed(stream[start + 1000 :])
    assert [len(payload) for payload in got] == [3_000_000]


def test_a_length_of_five_bytes_is_malformed() -> None:
    client, _ = connected()
    with pytest.raises(MalformedPacket):
        client.feed(b"\x30\xff\xff\xff\xff\x01")
