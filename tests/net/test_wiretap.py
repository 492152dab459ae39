"""What a node's wire tells of it: nothing is said before the broker has taken its CONNECT."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from dcompute_sim.brokers.model.broker_config import ReturnCode
from dcompute_sim.brokers.model.packets import connack
from dcompute_sim.wiretap import MqttTap

from dcompute.node_wire import Topics


def _text(text: str) -> bytes:
    return len(text).to_bytes(2, "big") + text.encode()


def _packet(kind: int, body: bytes) -> bytes:
    return bytes((kind, len(body))) + body


CONNECT = _packet(0x10, _text("MQTT") + b"\4\2\0\x0a" + _text("n"))
READY = _packet(0x30, _text("n/status") + json.dumps({"node_id": "n", "status": "ready"}).encode())
DONE = _packet(0x30, _text("results") + json.dumps({"node_id": "n", "task_id": "t", "result": 1}).encode())
SAID = ["node_connected", "status_published", "result_held"]


@pytest.mark.parametrize(
    ("first", "answer", "told"),
    [
        (CONNECT, connack(False, ReturnCode.ACCEPTED), ["node_subscribing", *SAID]),
        (CONNECT, connack(True, ReturnCode.ACCEPTED), SAID),
        (CONNECT, connack(False, ReturnCode.NOT_AUTHORIZED), ["connect_refused"]),
        (CONNECT, b"", []),
        (b"", b"", []),
    ],
)
def test_what_is_published_early_is_said_when_the_broker_has_taken_the_connect(
    first: bytes, answer: bytes, told: list[str]
) -> None:
    """A program may go on without waiting for its CONNACK; nobody hears it if that does not come."""
    events: list[str] = []

    def observe(event: str, fields: Mapping[str, object]) -> None:
        events.append(event)

    tap = MqttTap("n", "n", Topics(), observe)
    tap.crossed(1, "to_broker", first + READY + DONE)
    assert not {*events} & {*SAID}
    tap.crossed(1, "to_node", answer)
    assert [event for event in events if event not in ("node_connecting", "connect_read")] == told
