"""Datagrams, names and listeners that are full: what a board's own servers and look-ups meet."""

from __future__ import annotations

import pytest
from dcompute_sim.net.network import Host
from dcompute_sim.net.resolver import RETRY_S

from .conftest import World

Arrived = list[tuple[float, str, int, bytes]]


def _listen(world: World, host: Host, port: int) -> Arrived:
    arrived: Arrived = []
    host.datagram_ports[port] = lambda *what: arrived.append((world.env.now, *what))
    return arrived


def test_a_datagram_arrives_after_both_links_with_its_sender(world: World) -> None:
    other = world.network.host("other")
    arrived = _listen(world, other, 53)
    world.node.send_datagram(5000, "other", 53, b"by name")
    world.node.send_datagram(5000, other.address, 53, b"by address")
    world.node.send_datagram(5000, "other", 54, b"nobody takes it")
    world.run(1)
    assert arrived == [
        (pytest.approx(0.02), world.node.address, 5000, b"by name"),
        (pytest.approx(0.02), world.node.address, 5000, b"by address"),
    ]


def test_one_to_all_reaches_everybody_else(world: World) -> None:
    other = world.network.host("other")
    arrived = [_listen(world, host, 9) for host in (other, world.broker, world.node)]
    world.node.send_datagram(9, "255.255.255.255", 9, b"hello")
    world.run(1)
    assert [[data for *_, data in each] for each in arrived] == [[b"hello"], [b"hello"], []]


def test_one_to_itself_needs_no_link(world: World) -> None:
    arrived = _listen(world, world.node, 9)
    world.node.link.down()
    world.node.send_datagram(9, "127.0.0.1", 9, b"mine")
    world.run(1)
    assert [data for *_, data in arrived] == [b"mine"]


@pytest.mark.parametrize("way", ["sender silent", "receiver silent", "receiver off", "falls silent"])
def test_a_datagram_is_lost_in_silence(world: World, way: str) -> None:
    other = world.network.host("other")
    arrived = _listen(world, other, 9)
    if way == "sender silent":
        world.node.link.down()
    elif way == "receiver silent":
        other.link.down()
    elif way == "receiver off":
        other.power_cut()
    world.node.send_datagram(9, "other", 9, b"lost")
    other.link.down()
    world.run(1)
    assert arrived == []
    other.link.up()
    world.run(10)
    assert arrived == [], "nobody sends it again"


def test_a_lossy_link_loses_its_share(world: World) -> None:
    other = world.network.host("other")
    arrived = _listen(world, other, 9)
    world.node.slow(0.01, loss=0.3)
    for _ in range(500):
        world.node.send_datagram(9, "other", 9, b"x")
    world.run(1)
    assert 300 < len(arrived) < 400


def _asked(world: World, name: str, seconds: float = 20) -> list[tuple[float, str | None]]:
    answers: list[tuple[float, str | None]] = []
    world.node.resolve(name, lambda address: answers.append((world.env.now, address)))
    world.run(seconds)
    return answers


def test_a_name_takes_a_round_trip_and_leads_to_its_host(world: World) -> None:
    [(at_s, address)] = _asked(world, "broker")
    assert at_s == pytest.approx(0.02)
    assert address == world.broker.address
    assert world.network.at(address) is world.broker


def test_a_name_that_nobody_has_is_told_at_once(world: World) -> None:
    assert _asked(world, "brocker") == [(pytest.approx(0.02), None)]


def test_on_a_dead_link_a_name_takes_seven_seconds(world: World) -> None:
    world.node.link.down()
    assert _asked(world, "broker") == [(sum(RETRY_S), None)]
    assert sum(RETRY_S) == 7


def test_a_name_is_asked_for_again_when_the_link_is_back(world: World) -> None:
    world.node.link.down()
    world.network.clock.call_later(1.5, world.node.link.up)
    [(at_s, address)] = _asked(world, "broker")
    assert at_s == pytest.approx(2.02)
    assert address == world.broker.address


def test_a_listener_that_is_full_lets_the_syn_come_again(world: World) -> None:
    done: list[float] = []
    world.listener.full = True
    world.node.connect("broker", 1883, lambda error: done.append(world.env.now))
    world.run(0.5)
    assert done == []
    world.listener.full = False
    world.run(5)
    [at_s] = done
    assert at_s == pytest.approx(1.02)
