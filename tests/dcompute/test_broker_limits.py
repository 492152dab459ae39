"""Brokers have the limits of their defaults: stock mosquitto queues 1,020 messages for a subscriber."""

from __future__ import annotations

import json
import selectors
import socket
from collections.abc import Callable
from typing import Any

import pytest
from dcompute_sim.brokers.conformance import wire

from dcompute import MasterNodeTransport, events

from ..conftest import PATIENCE_S
from .conftest import Eventually, Fleet, World

NODES = 3000


class Crowd:
    """Many nodes on bare sockets: each has a last will and a retained status."""

    def __init__(self, port: int, namespace: str) -> None:
        self._sockets: list[socket.socket] = []
        for number in range(NODES):
            node, topic = f"{namespace}-{number}", f"{namespace}/{namespace}-{number}/status"

            def status(word: str, node: str = node) -> bytes:
                return json.dumps({"node_id": node, "status": word, "inc": "a.1"}).encode()

            sock = socket.create_connection(("127.0.0.1", port))
            will = wire.ClientWill(topic, status("dead"), 1, True)
            sock.sendall(wire.connect(node, will=will))
            sock.sendall(wire.publish(topic, status("ready"), qos=1, retain=True, packet_id=1))
            self._sockets.append(sock)
        for sock in self._sockets:
            sock.setblocking(False)

    def wait(self) -> None:
        """Until each has its CONNACK and PUBACK."""
        waiting = selectors.DefaultSelector()
        had = dict.fromkeys(self._sockets, 0)
        for sock in self._sockets:
            waiting.register(sock, selectors.EVENT_READ)
        while waiting.get_map():
            ready = waiting.select(PATIENCE_S)
            assert ready, "the broker does not answer"
            for key, _ in ready:
                speaks: Any = key.fileobj
                had[speaks] += len(speaks.recv(100))
                if had[speaks] >= 8:
                    waiting.unregister(speaks)

    def die(self) -> None:
        for sock in self._sockets:
            sock.close()


def test_a_master_knows_three_thousand_nodes_and_names_their_deaths(
    stock_mosquitto: Callable[..., int], new_fleet: Callable[[int], Fleet], eventually: Eventually
) -> None:
    port = stock_mosquitto()
    fleet = new_fleet(port)
    crowd = Crowd(port, fleet.namespace)
    crowd.wait()
    master = fleet.master()
    told: list[str] = []
    master.set_dead_nodes_callback(told.extend)
    eventually(lambda: len(master.get_nodes_by_status("ready")) == NODES)
    crowd.die()
    eventually(lambda: len(told) == NODES)
    assert len(set(told)) == NODES


def test_the_brokers_count_of_what_it_dropped_is_read_and_told(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[events.MasterEvent] = []
    master = MasterNodeTransport(driver=world, observer=told.append)
    master.start()
    broker = world.wires[-1].accept()

    def dropped(count: int) -> None:
        broker.say(wire.publish("$SYS/broker/publish/messages/dropped", b"%d" % count))

    dropped(7)
    dropped(7)
    assert caplog.text == "", "of before our time"
    dropped(12)
    assert "the broker has dropped 5 messages" in caplog.text
    assert told[-1] == events.BrokerDropped(5)
    assert master.counters()["broker_dropped"] == 5
    broker.lose()
    world.until_dial()
    broker = world.wires[-1].accept()
    dropped(3)
    dropped(3)
    assert master.counters()["broker_dropped"] == 5
    broker.say(wire.publish("$SYS/broker/publish/messages/dropped", b"rubbish"))
    assert master.counters()["messages_rejected"] == 1


def test_stock_mosquitto_tells_its_count(
    stock_mosquitto: Callable[..., int], new_fleet: Callable[[int], Fleet], eventually: Eventually
) -> None:
    fleet = new_fleet(stock_mosquitto("sys_interval 1", "max_queued_messages 10", "max_inflight_messages 1"))
    master = fleet.master()
    with socket.create_connection(("127.0.0.1", fleet.port)) as deaf:  # never acknowledges
        deaf.sendall(wire.connect("deaf") + wire.subscribe(1, [("flood", 1)]))
        publisher = fleet.probe_client("publisher")

        def drops() -> bool:
            publisher.publish("flood", b"x")
            return master.counters()["broker_dropped"] > 0

        eventually(drops)


# --- what is retained is not new ------------------------------------------------------------------------


def test_a_retained_task_is_never_obeyed(fleet: Fleet, eventually: Eventually) -> None:
    probe = fleet.probe_client()
    node_id = fleet.id("n")
    probe.publish(fleet.topic(node_id), b'{"id": "old", "fire": true}', retain=True)
    node = fleet.node("n")
    assert node.node_id == node_id
    probe.publish(fleet.topic(node_id), b'{"id": "new"}')
    eventually(lambda: node.counters()["tasks_received"] == 1)
    task = node.get_task()
    assert task is not None
    assert task["id"] == "new"
    assert node.counters()["messages_rejected"] == 1
    node.stop()
    assert node.start(timeout_s=PATIENCE_S)
    eventually(lambda: node.counters()["messages_rejected"] == 2)
    assert node.counters()["tasks_received"] == 1


def test_a_retained_initialisation_makes_nobody_alive(fleet: Fleet, eventually: Eventually) -> None:
    probe = fleet.probe_client()
    hello = {"node_id": fleet.id("ghost"), "device_type": "x", "status": "connected", "inc": "a.1"}
    probe.publish(fleet.topic("initialisation"), json.dumps(hello).encode(), retain=True)
    master = fleet.master()
    eventually(lambda: master.counters()["retained_announcements"] == 1)
    assert master.get_node_info() == []


def test_what_tells_of_nodes_comes_in_the_order_in_which_it_was_said(world: World) -> None:
    """QoS 1 waits for PUBACKs: a `connected` that came after the `ready` or the `dead` behind it would be
    believed."""
    MasterNodeTransport(driver=world).start()
    broker = world.wires[-1].open()
    broker.heard()
    broker.say(wire.encode(wire.PacketKind.CONNACK, b"\0\0"))
    (subscribe,) = broker.heard()
    assert b"+/status\0" in subscribe.body
    assert b"initialisation\0" in subscribe.body
    assert b"results\1" in subscribe.body
