"""Updates over the air on the master's link, played move by move in a fake world."""

from __future__ import annotations

import json
from typing import Any

import pytest
from dcompute_sim.brokers.conformance import wire
from dcompute_sim.brokers.conformance.wire import PacketKind

from dcompute.bundle import Bundle
from dcompute.master_transport import MasterNodeTransport

from .conftest import World

KEY = bytes(32)
BUNDLE = Bundle("v2", {"main.py": b"print()"})


@pytest.fixture
def master(world: World) -> MasterNodeTransport:
    return MasterNodeTransport(driver=world)


def topics(packet: Any) -> list[bytes]:
    """The filters of a SUBSCRIBE."""
    assert packet.kind == PacketKind.SUBSCRIBE
    body, found = packet.body[2:], []
    while body:
        size = int.from_bytes(body[:2], "big")
        found.append(body[2 : 2 + size])
        body = body[3 + size :]
    return found


def accepted(world: World, master: MasterNodeTransport) -> tuple[Any, list[bytes]]:
    """The broker's end of a new connection, its SUBSCRIBE not answered yet, and what that asks for."""
    broker = world.wires[-1].open()
    broker.heard()
    broker.say(wire.encode(PacketKind.CONNACK, b"\0\0"))
    (subscribe,) = broker.heard()
    return broker, topics(subscribe)


def states(master: MasterNodeTransport) -> list[str]:
    return [str(progress.state) for progress in master.updates()]


def test_nothing_of_updates_is_followed_before_the_first(world: World, master: MasterNodeTransport) -> None:
    master.start()
    broker, asked = accepted(world, master)
    assert b"updates" not in asked
    broker.say(wire.encode(PacketKind.SUBACK, b"\0\1" + b"\1" * len(asked)))
    broker.say(wire.publish("updates", b'{"node_id": "n"}', qos=1, packet_id=1))
    assert master.counters()["messages_rejected"] == 1
    assert master.updates() == []


def test_a_first_update_that_comes_while_the_master_subscribes_is_followed(
    world: World, master: MasterNodeTransport
) -> None:
    master.start()
    broker, asked = accepted(world, master)
    master.update_node("n", BUNDLE, KEY)
    assert broker.heard() == []
    broker.say(wire.encode(PacketKind.SUBACK, b"\0\1" + b"\1" * len(asked)))
    assert master.is_connected()
    assert topics(broker.heard()[-1]) == [b"updates"]
    master.update_node("m", BUNDLE, KEY)
    assert broker.heard() == [], "it is subscribed to once"
    broker.lose()
    world.until_dial()
    broker, asked = accepted(world, master)
    broker.say(wire.encode(PacketKind.SUBACK, b"\0\1" + b"\1" * len(asked)))
    assert topics(broker.heard()[-1]) == [b"updates"], "and with every connection from then on"


def test_a_master_that_was_stopped_goes_on_with_what_is_under_way(
    world: World, master: MasterNodeTransport
) -> None:
    master.start()
    world.wires[-1].accept()
    master.update_node("n", BUNDLE, KEY, patience_s=100)
    master.stop()
    world.run(1000)
    assert states(master) == ["waiting"], "nobody judges it meanwhile"
    master.start()
    world.wires[-1].accept()
    world.run(2)
    assert states(master) == ["failed"]


def test_the_question_comes_again_to_a_node_that_does_not_answer(
    world: World, master: MasterNodeTransport
) -> None:
    """Also when the update before was given up a moment ago: there is one clock for all, ticking once a
    second."""
    master.start()
    broker = world.wires[-1].accept()
    ready = {"node_id": "n", "status": "ready", "inc": "a.1", "capabilities": {"version": "v2"}}
    broker.say(wire.publish("n/status", json.dumps(ready).encode(), qos=1, packet_id=1))
    master.update_node("n", BUNDLE, KEY)
    world.run(0.5)
    master.update_node("n", Bundle("v3", {"main.py": b"print()"}), KEY)
    asked = [payload for payload in broker.published() if payload.startswith(b"DCU2Q")]
    assert len(set(asked)) == 2
    world.run(0.3)
    master.start()  # once more: it is started
    world.run(14.5)
    assert broker.published() == []
    world.run(2)
    assert len(broker.published()) == 1
