"""The private names of paho that our client replaces or leans on are still what they were."""

from __future__ import annotations

import inspect
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.client import MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from dcompute._mqtt.paho_client import PahoClient

REPLACED = {
    "_mid_generate": ["self"],
    "_send_pingreq": ["self"],
    "_packet_queue": ["self", "command", "packet", "mid", "qos", "info"],
}
LEANED_ON = {
    "_packet_handle": ["self"],
    "_loop_rc_handle": ["self", "rc"],
    "_send_publish": ["self", "mid", "topic", "payload", "qos", "retain", "dup", "info", "properties"],
    "_send_subscribe": ["self", "dup", "topics", "properties"],
}
ATTRIBUTES = (
    "_sock",
    "_client_id",
    "_keepalive",
    "_last_bytes_received",
    "_last_mid",
    "_last_msg_out",
    "_in_messages",
    "_in_packet",
    "_out_messages",
    "_password",
    "_ping_t",
    "_state",
    "_on_disconnect",
    "_on_message",
    "_on_publish",
    "_username",
    "_will",
    "_will_payload",
    "_will_properties",
    "_will_qos",
    "_will_retain",
    "_will_topic",
    "_callback_mutex",
)
DIFFERS = {  # in ours, on purpose
    *("_last_bytes_received", "_last_msg_out"),
    *("_callback_api_version", "_host", "_port", "_clean_start"),  # what nobody asks for again
    *("_in_packet", "_in_messages", "_out_messages", "_out_packet", "_on_message_filtered", "_sock"),
    *("_on_disconnect", "_on_message", "_on_publish"),
}


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
    assert type(plain["_state"]).MQTT_CS_CONNECTING
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
        self.ended = ""

    def session_message(self, topic: str, payload: bytes, retained: bool) -> None:
        self._got.append(payload)

    def packet_connected(self, code: int) -> None:
        assert code == 0

    def session_acknowledged(self, mid: int) -> None:
        pass

    def packet_subscribed(self, mid: int, granted: bool) -> None:
        pass

    def packet_end(self, reason: str) -> None:
        self.ended = reason


def client_of(inbox: _Inbox) -> PahoClient:
    return PahoClient("x", inbox, inbox)


def connected() -> tuple[PahoClient, list[bytes]]:
    got: list[bytes] = []
    client = client_of(_Inbox(got))
    client.send_connect(60)
    client.feed(b"\x20\x02\x00\x00")
    return client, got


class _TheirSocket:
    def setblocking(self, _flag: bool) -> None:
        pass

    def close(self) -> None:
        pass


class _TheirClient(paho.Client):
    """Paho's own, but for its socket."""

    def __init__(self) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, "x", clean_session=True, reconnect_on_failure=False)
        self.sent: list[bytes] = []

    def _create_socket(self) -> Any:
        return _TheirSocket()

    def _packet_queue(
        self, command: int, packet: bytes | bytearray, mid: int, qos: int, info: object = None
    ) -> MQTTErrorCode:
        self.sent.append(bytes(packet))
        return MQTTErrorCode.MQTT_ERR_SUCCESS


@pytest.mark.parametrize("login", [None, ("somebody", None), ("somebody", "secret"), ("\u00e9", "")])
@pytest.mark.parametrize("will", [None, (b"dead", 1, True), (b"", 0, False), (b"x" * 20_000, 2, True)])
def test_a_client_that_connects_is_as_paho_would_have_it(
    login: tuple[str, str | None] | None, will: tuple[bytes, int, bool] | None
) -> None:
    """Ours is made and connected without paho's own steps: all that they set has to be there."""
    theirs = _TheirClient()
    ours = client_of(_Inbox([]))
    for client in (theirs, ours):
        if login is not None:
            client.username_pw_set(*login)
        if will is not None:
            client.will_set("x/status", *will)
    theirs.connect_async("memory", 1, keepalive=7)
    theirs.reconnect()
    ours.send_connect(7)
    assert ours.outbox == theirs.sent
    names = {name for name in vars(theirs) if not name.endswith("_mutex")} - DIFFERS - {"sent"}
    if will is None:  # of which `_will` tells
        names = {name for name in names if not name.startswith("_will_")}
    assert {name: getattr(ours, name) for name in names} == {name: getattr(theirs, name) for name in names}
    assert hasattr(ours, "_in_callback_mutex")


def test_a_client_keeps_nothing_beside_its_slots() -> None:
    """A dictionary would be 300 bytes more of each of thousands."""
    client, _ = connected()
    client.will_set("x/status", b"dead", qos=1, retain=True)
    client.send_publish("t", b"1", 1, False)
    client.check()
    client.feed(b"\xd0\x00")
    client.disconnect()
    client.stop()
    assert not vars(client)


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
    ours, pahos = client_of(_Inbox([])), paho.Client(CallbackAPIVersion.VERSION2, "x")
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
    inbox = _Inbox([])
    client = client_of(inbox)
    client.send_connect(60)
    client.feed(b"\x30\xff\xff\xff\xff\x01")
    assert inbox.ended == "protocol error: MalformedPacket: a remaining length of more than four bytes"
