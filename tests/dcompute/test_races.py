"""Races of the transports, played move by move in a fake world; but for one that is SQLite's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dcompute_sim.brokers.conformance import wire
from dcompute_sim.brokers.conformance.wire import PacketKind

from dcompute.master_transport import MasterNodeTransport
from dcompute.node_transport import ComputeNodeTransport

from ..conftest import PATIENCE_S
from .conftest import World

INIT = b'{"task_info": {"command": "init"}}'


@pytest.fixture
def node(world: World) -> ComputeNodeTransport:
    return ComputeNodeTransport(node_id="n", driver=world, install_signal_handlers=False)


def statuses(broker: Any, *, acknowledge: bool = True) -> list[str]:
    """What the client published as its status; an announcement is `connected`."""
    return [json.loads(payload)["status"] for payload in broker.published(acknowledge=acknowledge)]


def up(world: World, transport: Any) -> Any:
    transport.start()
    return world.wires[-1].accept()


def test_a_question_while_the_node_leaves_does_not_make_it_look_alive(
    world: World, node: ComputeNodeTransport
) -> None:
    broker = up(world, node)
    assert statuses(broker) == ["connected", "ready"]
    node.stop()
    broker.say(wire.publish("n", INIT, qos=1, packet_id=1))
    broker.say(wire.publish("n/status", b'{"node_id": "n", "status": "dead"}', qos=1, packet_id=2))
    node.publish_status("ready")
    assert statuses(broker) == ["offline"]
    assert broker.ended == "closed"
    assert node.status == "offline"


def test_a_task_that_comes_while_the_node_leaves_is_not_taken(
    world: World, node: ComputeNodeTransport
) -> None:
    broker = up(world, node)
    statuses(broker)
    node.stop()
    broker.say(wire.publish("n", b'{"id": "late"}', qos=1, packet_id=1))
    assert node.get_task() is None


def test_a_death_notice_between_connections_is_not_contradicted(
    world: World, node: ComputeNodeTransport
) -> None:
    """The retained `dead` that comes with the new subscription was true until the greeting."""
    broker = up(world, node)
    statuses(broker)
    broker.lose()
    _, broker = world.until_dial()
    broker.open()
    broker.say(wire.encode(PacketKind.CONNACK, b"\0\0"))
    subscribe = broker.heard()[-1]
    broker.say(
        wire.publish("n/status", b'{"node_id": "n", "status": "dead"}', qos=1, packet_id=9, retain=True)
    )
    broker.say(wire.encode(PacketKind.SUBACK, subscribe.body[:2] + b"\1\1"))
    assert statuses(broker) == ["connected", "ready"]
    assert node.counters()["status_repairs"] == 0


def test_a_status_made_in_an_older_incarnation_is_not_said_in_the_next(
    world: World, node: ComputeNodeTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said after the greeting, it would make the master take the older incarnation for the present one."""
    broker = up(world, node)
    statuses(broker)
    waiting: list[Any] = []
    monkeypatch.setattr(world, "call_on_loop", waiting.append)
    node.publish_status("busy")  # from a thread that is then not scheduled for a while
    broker.lose()
    _, broker = world.until_dial()
    broker.accept()
    for call in waiting:
        call()
    bodies = [json.loads(payload) for payload in broker.published()]
    assert [body["status"] for body in bodies] == ["connected", "busy"]
    assert {body["inc"] for body in bodies} == {node.inc}


def test_a_second_goodbye_waits_for_the_first_and_says_nothing_more(
    world: World, node: ComputeNodeTransport
) -> None:
    broker = up(world, node)
    statuses(broker)
    node.stop()
    node.stop()
    assert statuses(broker) == ["offline"]
    node.stop()
    assert broker.heard() == []


def test_a_flood_of_statuses_does_not_cost_the_graceful_exit(
    world: World, node: ComputeNodeTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a tight loop, with a broker that takes its time."""
    broker = up(world, node)
    statuses(broker)
    for number in range(500):
        node.publish_status(f"step {number}")
    waiting: list[Any] = []
    monkeypatch.setattr(world, "call_on_loop", waiting.append)  # and a loop that lags
    for number in range(500, 1000):
        node.publish_status(f"step {number}")
    assert len(waiting) == 1, "one look at what waits is enough"
    waiting.pop()()
    node.stop()
    said = statuses(broker)
    assert len(said) < 50
    assert said[-1] == "offline"
    assert broker.ended == "closed"


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_master_that_ended_declares_nobody_dead(world: World, end: str) -> None:
    master = MasterNodeTransport(driver=world, liveness_s=10)
    told: list[str] = []
    master.set_dead_nodes_callback(told.extend)
    broker = up(world, master)
    status = b'{"node_id": "n", "status": "ready", "inc": "a.1"}'
    broker.say(wire.publish("n/status", status, qos=1, packet_id=1, retain=True))
    assert len(broker.published()) == 1, "it asks the node"
    getattr(master, end)()
    world.run(1000)
    assert told == []
    broker = up(world, master)
    assert len(broker.published()) == 1
    world.run(11)
    assert told == ["n"], "with a broker again it does"


def test_nodes_that_were_there_before_are_known_at_once(world: World) -> None:
    master = MasterNodeTransport(driver=world)
    broker = up(world, master)
    for number in range(20):
        status = b'{"node_id": "n%d", "status": "ready", "inc": "a.1"}' % number
        broker.say(wire.publish(f"n{number}/status", status, qos=1, packet_id=number + 1, retain=True))
    assert len(master.get_nodes_by_status("ready")) == 20, "no time has passed"


def test_a_silent_node_is_declared_dead_for_everybody(world: World) -> None:
    master = MasterNodeTransport(driver=world, liveness_s=10)
    told: list[str] = []
    master.set_dead_nodes_callback(told.extend)
    broker = up(world, master)
    status = b'{"node_id": "n", "status": "ready", "inc": "a.1"}'
    broker.say(wire.publish("n/status", status, qos=1, packet_id=1, retain=True))
    assert [json.loads(payload)["task_info"] for payload in broker.published()] == [{"command": "init"}]
    world.run(10.1)
    (declared,) = [wire.read_publish(packet) for packet in broker.heard()]
    assert (declared.topic, declared.retain) == ("n/status", True)
    assert json.loads(declared.payload) == {"node_id": "n", "status": "dead", "inc": "a.1"}
    broker.say(wire.publish("n/status", declared.payload, qos=1, packet_id=2))
    assert told == ["n"]


CLOSED_WHILE_WRITING = """
import sys, threading
from dcompute._master.node_memory import NodeMemory

memory = NodeMemory(sys.argv[1])
info = {"status": "ready", "inc": "1.1", "device_type": "x", "capabilities": {}, "last_seen": 1.0}
for life in range(5):
    memory.open()
    for number in range(5000):
        node = f"n-{number}"
        memory.note(node, {**info, "node_id": node, "inc": f"{life}.1"})
    closing = threading.Timer(0.002, memory.close)
    closing.start()
    memory.write()
    closing.join()
    memory.close()
memory.open()
memory.write()  # what was noted when it was closed first
print(sorted({info["inc"] for info in memory.infos()}), len(memory.infos()))
"""


def test_a_masters_file_is_closed_by_one_thread_while_another_writes(tmp_path: Path) -> None:
    """In a process of its own: without a lock the interpreter itself crashed, within Python's sqlite3."""
    command = [sys.executable, "-c", CLOSED_WHILE_WRITING, str(tmp_path / "beliefs.db")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (done.returncode, done.stdout) == (0, "['4.1'] 5000\n"), done.stderr
