"""The example as people are shown it, on an emulated board in virtual time: hours pass in seconds."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import simpy
from dcompute_sim.brokers.conformance import wire
from dcompute_sim.brokers.conformance.wire import PacketKind
from dcompute_sim.engines.virtual_broker import ModelBroker
from dcompute_sim.micropython.board import Board
from dcompute_sim.micropython.emulated_config import WIFI_SSID
from dcompute_sim.micropython.lockstep import LockstepBoard
from dcompute_sim.net.network import Network

from .conftest import Heard, Rig

KEEPALIVE_S = 60
NODE = "020000000001"


class World:
    """A network with a broker, a master that only listens, and one board."""

    def __init__(
        self, rig: Rig, heard: Heard, program: str, settings: dict[str, Any] | None = None, **of_board: Any
    ) -> None:
        self.env = simpy.Environment()
        self.network = Network(self.env, 1, 0.005)
        self.heard = heard
        served = ModelBroker(self.network.host("broker", wired=True), self.network.clock)
        served.start()
        assert served.running is not None
        self.broker = served.running
        folder = rig.folder / "example"
        folder.mkdir()
        (folder / "main.py").write_text(program)
        config = rig.config(1883, MQTT_HOST="broker", **(settings or {}))
        files = [rig.firmware, folder / "main.py"]
        board = Board(uid=bytes([2, 0, 0, 0, 0, 1]), files=files, config=config, **of_board)
        self.host = self.network.host("node")
        self.board = LockstepBoard(self.env, self.host, rig.emulator, board, heard)

    def listen(self) -> None:
        """Subscribe the master to everything, without a network."""
        self.seen = bytearray()
        self.master = self.broker.opened(self, self.env.now)
        self.say(wire.connect("master", keepalive_s=0) + wire.subscribe(1, [("#", 0)]))

    def say(self, data: bytes) -> None:
        self.broker.received(self.master, data, self.env.now)

    def write(self, data: bytes) -> None:
        """A port of the broker: the master's ear."""
        self.seen += data

    def close(self) -> None:
        pass

    def published(self, topic: str) -> list[dict[str, Any]]:
        packets = wire.take_packets(bytearray(self.seen))
        read = [wire.read_publish(packet) for packet in packets if packet.kind is PacketKind.PUBLISH]
        return [json.loads(publish.payload) for publish in read if publish.topic == topic]

    def run_s(self, seconds: float) -> None:
        self.env.run(until=self.env.now + seconds)


@pytest.mark.parametrize("outage_s", [180, 3600])
def test_the_example_outlives_its_wifi(rig: Rig, heard: Heard, example: str, outage_s: int) -> None:
    world = World(rig, heard, example)
    try:
        world.listen()
        world.board.start()
        world.run_s(5)
        world.say(wire.publish(NODE, b'{"id": "one"}'))
        world.run_s(2)
        assert [r["task_id"] for r in world.published("results")] == ["one"]

        world.board.radio(ap=False)
        world.host.link.down()
        world.run_s(1.5 * KEEPALIVE_S + 1)
        assert [s["status"] for s in world.published(f"{NODE}/status")][-2:] == ["ready", "dead"]
        world.run_s(outage_s - 1.5 * KEEPALIVE_S - 1)
        world.board.radio(ap=True)
        world.host.link.up()

        world.run_s(60)
        last = world.published(f"{NODE}/status")[-1]
        assert last["status"] == "ready"
        assert last["inc"] == world.published("initialisation")[-1]["inc"]
        world.say(wire.publish(NODE, b'{"id": "two"}'))
        world.run_s(2)
        assert [r["task_id"] for r in world.published("results")] == ["one", "two"]
    finally:
        world.board.close()


def test_a_short_silence_is_survived_without_a_death(rig: Rig, heard: Heard, example: str) -> None:
    """Shorter than the keepalive, the connection lives on: what the WLAN believes is not acted upon."""
    world = World(rig, heard, example)
    try:
        world.listen()
        world.board.start()
        world.run_s(40)
        world.board.radio(ap=False)
        world.host.link.down()
        world.run_s(8)
        world.board.radio(ap=True)
        world.host.link.up()
        world.run_s(300)
        assert "dead" not in [s["status"] for s in world.published(f"{NODE}/status")]
        assert len(world.published("initialisation")) == 1
    finally:
        world.board.close()


def test_a_node_greets_at_once_not_after_its_next_wait(rig: Rig, heard: Heard) -> None:
    world = World(rig, heard, (rig.firmware / "main.py").read_text())
    try:
        world.listen()
        world.board.start()
        while world.env.now < 10 and not any("connected to" in line for line in heard.lines):
            world.run_s(0.01)
        connected_s = world.env.now
        assert connected_s < 10
        while world.env.now < 10 and not world.published(f"{NODE}/status"):
            world.run_s(0.01)
        assert world.env.now - connected_s < 0.2  # round trips take 10 ms here
    finally:
        world.board.close()


@pytest.mark.parametrize("refusal", [False, 15, 2])
def test_it_says_why_it_cannot_join_however_the_access_point_refuses(
    rig: Rig, heard: Heard, example: str, refusal: int
) -> None:
    world = World(rig, heard, example, radio={"password_ok": refusal})
    try:
        world.board.start()
        world.run_s(20)
        assert any(f"not joined {WIFI_SSID!r}: " in line and "wrong password" in line for line in heard.lines)
    finally:
        world.board.close()


BEFORE = """
import network, time
wlan = network.WLAN(network.STA_IF)
wlan.active(True)
wlan.connect("another network", "password2")
time.sleep({})
"""


@pytest.mark.parametrize("seconds", [0, 0.15, 1], ids=["joining", "nearly there", "joined"])
def test_it_leaves_the_network_that_the_chip_remembers(
    rig: Rig, heard: Heard, example: str, seconds: float
) -> None:
    world = World(rig, heard, BEFORE.format(seconds) + example)
    try:
        world.listen()
        world.board.start()
        world.run_s(10)
        assert any(f"joined {WIFI_SSID!r} as" in line for line in heard.lines)
        assert world.published(f"{NODE}/status")[-1]["status"] == "ready"
    finally:
        world.board.close()


SLOW_NAMES = """
import socket, time
look_up = socket.getaddrinfo
found = []

def slowly(*about):  # 25 s in all: without a network a look-up of the emulator's takes its own time
    if not found:
        found.append(look_up(*about))
    time.sleep(25)
    return found[0]

socket.getaddrinfo = slowly
"""


def test_a_slow_name_and_a_slow_connection_are_each_within_the_watchdog(
    rig: Rig, heard: Heard, example: str
) -> None:
    """25 s for the name and 10 s for a broker that is not there: together more than the watchdog's 30 s."""
    world = World(rig, heard, SLOW_NAMES + example, {"WATCHDOG_S": 30})
    try:
        world.board.start()
        world.run_s(5)
        world.host.link.down()
        world.run_s(70)
        assert len([line for line in heard.lines if "cannot connect" in line]) >= 1
        assert heard.all("stopped") == []
    finally:
        world.board.close()


@pytest.mark.parametrize(
    ("allowed", "says"),
    [
        (lambda topic, publishes: True, ""),
        (lambda topic, publishes: not (publishes and topic.endswith("/status")), "does not give it back"),
        (lambda topic, publishes: publishes or not topic.endswith("/status"), "refuses a subscription"),
    ],
    ids=["all", "no status", "no subscription"],
)
def test_a_board_says_what_access_rules_deny_it(
    rig: Rig, heard: Heard, example: str, allowed: Callable[[str, bool], bool], says: str
) -> None:
    world = World(rig, heard, example)
    try:
        authorize = lambda client_id, topic, publishes: allowed(topic, publishes)  # noqa: E731
        world.broker.config = replace(world.broker.config, authorize=authorize)
        world.board.start()
        world.run_s(25)
        quiet = [line for line in heard.lines if "access rules" in line]
        world.run_s(60)
        told = [line for line in heard.lines if "access rules" in line]
        assert all(says and says in line for line in told), told
        if says == "does not give it back":
            assert (len(quiet), len(told)) == (0, 1), "once in a connection, when it is sure"
        else:
            assert bool(told) is bool(says)
        assert not [line for line in heard.lines if "resetting the interface" in line]
    finally:
        world.board.close()
