"""Nodes that flap, clones, masters and brokers that come and go: states are right in the end, and every death
is told exactly once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dcompute import FleetExecutor, JournalError
from dcompute.events import DeathReported, MasterEvent
from dcompute.master_transport import MasterNodeTransport

from ..conftest import PATIENCE_S
from .conftest import Eventually, Fleet, Served, TameLink

LIVENESS_S = 1.5


def status_of(master: MasterNodeTransport, node_id: str) -> str | None:
    info = master.get_node_info(node_id)
    return info["status"] if info else None


def inc_of(master: MasterNodeTransport, node_id: str) -> str | None:
    info = master.get_node_info(node_id)
    return info["inc"] if info else None


def watched(master: MasterNodeTransport) -> list[str]:
    """The ids that its callback is told, as they come."""
    told: list[str] = []
    master.set_dead_nodes_callback(told.extend)
    return told


def quick(*transports: Any) -> None:
    """Reconnect without waiting long: backoff is tested in a fake world."""
    for transport in transports:
        TameLink.of(transport).wait_s = 0.05


def test_a_node_flapping_a_hundred_times_dies_a_hundred_deaths(fleet: Fleet, eventually: Eventually) -> None:
    master = fleet.master()
    told = watched(master)
    for life in range(100):
        node = fleet.node()
        eventually(lambda node=node: inc_of(master, node.node_id) == node.inc)
        node.kill()
        eventually(lambda life=life: len(told) == life + 1)
    node = fleet.node()
    eventually(lambda: status_of(master, node.node_id) == "ready")
    assert told == [node.node_id] * 100
    assert master.get_dead_nodes() == [node.node_id]
    assert len(master.get_node_info()) == 1


def test_a_node_flapping_faster_than_anyone_looks_ends_ready(fleet: Fleet, eventually: Eventually) -> None:
    master = fleet.master()
    told = watched(master)
    quick(node := fleet.node())
    for _ in range(100):
        TameLink.of(node).cut()
    eventually(lambda: node.counters()["connections"] >= 2 and node.is_connected())
    for flap in range(20):
        connections = node.counters()["connections"]
        TameLink.of(node).cut()
        eventually(lambda connections=connections: node.counters()["connections"] > connections)
        assert len(told) <= flap + 2
    eventually(lambda: inc_of(master, node.node_id) == node.inc)
    eventually(lambda: status_of(master, node.node_id) == "ready")


def test_a_cloned_node_is_one_node_and_ends_ready_when_one_gives_up(
    fleet: Fleet, eventually: Eventually
) -> None:
    master = fleet.master()
    told = watched(master)
    one, other = fleet.node(), fleet.node()
    eventually(lambda: one.counters()["connections"] + other.counters()["connections"] >= 4)
    one.kill()
    eventually(other.is_connected)
    eventually(lambda: inc_of(master, other.node_id) == other.inc)
    eventually(lambda: status_of(master, other.node_id) == "ready")
    assert len(master.get_node_info()) == 1
    assert len(told) <= one.counters()["connections"] + other.counters()["connections"] - 1
    master.send_task(other.node_id, {"still": "works"})
    assert eventually(other.get_task)["still"] == "works"


def test_a_master_killed_and_restarted_knows_what_happened_meanwhile(
    fleet: Fleet, eventually: Eventually
) -> None:
    first = fleet.master(client_id=fleet.id("master"))
    told = watched(first)
    steady, dying, leaving = (fleet.node(name) for name in ("steady", "dying", "leaving"))
    eventually(lambda: len(first.get_nodes_by_status()) == 3)
    first.kill()
    eventually(lambda: not first.is_connected())
    dying.kill()
    leaving.stop()
    joined = fleet.node("joined")
    second = fleet.master(client_id=fleet.id("master"), start=False)
    told_second = watched(second)
    assert second.start(timeout_s=PATIENCE_S)
    eventually(lambda: len(second.get_node_info()) == 4)
    expected = {dying: "dead", leaving: "offline", steady: "ready", joined: "ready"}
    for node, status in expected.items():
        eventually(lambda node=node, status=status: status_of(second, node.node_id) == status)
    eventually(lambda: sorted(told_second) == sorted([dying.node_id, leaving.node_id]))
    assert told == [], "a killed master says nothing"


def test_what_happened_while_the_master_was_cut_off(fleet: Fleet, eventually: Eventually) -> None:
    master = fleet.master()
    told = watched(master)
    steady, dying, twice = (fleet.node(name) for name in ("steady", "dying", "twice"))
    eventually(lambda: len(master.get_nodes_by_status()) == 3)
    TameLink.of(master).wait_s = 0.5
    TameLink.of(master).cut()
    eventually(lambda: not master.is_connected())
    dying.kill()
    twice.kill()
    back = fleet.node("twice")
    eventually(master.is_connected)
    eventually(lambda: status_of(master, dying.node_id) == "dead")
    eventually(lambda: inc_of(master, back.node_id) == back.inc)
    assert status_of(master, steady.node_id) == "ready"
    eventually(lambda: told)  # on the dispatcher thread, a moment after the record changed
    assert told == [dying.node_id]


def test_tasks_sent_while_cut_off_arrive_in_order(fleet: Fleet, eventually: Eventually) -> None:
    master, node = fleet.master(), fleet.node()
    eventually(lambda: status_of(master, node.node_id) == "ready")
    TameLink.of(master).cut()
    eventually(lambda: not master.is_connected())
    for number in range(50):
        master.send_task(node.node_id, {"n": number})
    eventually(lambda: node.counters()["tasks_received"] == 50)
    assert [task["n"] for _ in range(50) if (task := node.get_task())] == list(range(50))


# --- the broker -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["mosquitto", "embedded"])
def test_a_broker_restarted_without_memory_while_two_nodes_die(
    serve: Callable[..., Served], new_fleet: Callable[[int], Fleet], eventually: Eventually, kind: str
) -> None:
    broker = serve(kind)
    fleet = new_fleet(broker.port)
    master = fleet.master(liveness_s=LIVENESS_S)
    told = watched(master)
    nodes = [fleet.node(f"n{number}") for number in range(6)]
    quick(master, *nodes)
    eventually(lambda: len(master.get_nodes_by_status()) == 6)
    dying, surviving = nodes[:2], nodes[2:]
    # Silent to the last: a broker that ends in order still publishes the wills of those it knows.
    incs = {node.node_id: node.inc for node in nodes}
    broker.pause(keep_memory=False)
    eventually(lambda: not master.is_connected())
    for node in dying:
        node.kill()
    broker.resume()
    eventually(master.is_connected)
    eventually(
        lambda: (
            sorted(n["node_id"] for n in master.get_nodes_by_status("ready"))
            == sorted(n.node_id for n in surviving)
        )
    )
    eventually(
        lambda: {n["node_id"] for n in master.get_nodes_by_status("dead")} == {n.node_id for n in dying}
    )
    eventually(lambda: {n.node_id for n in dying} <= set(told))
    assert len(told) == len(set(told)), "each at most once, whether its will came as the broker ended or not"
    for node in surviving:
        info: Any = master.get_node_info(node.node_id)
        assert info["inc"] == node.inc != incs[node.node_id]
    watcher = fleet.probe_client("watcher", ["+/status"])
    right = {node.node_id: "dead" if node in dying else "ready" for node in nodes}

    def retained() -> dict[str, str]:
        bodies = [json.loads(payload) for _, payload, _ in watcher.got]
        return {body["node_id"]: body["status"] for body in bodies}

    eventually(lambda: {node.node_id for node in surviving} <= retained().keys())
    assert retained().items() <= right.items()


@pytest.mark.parametrize("kind", ["mosquitto", "embedded"])
def test_a_broker_restarted_with_its_memory(
    serve: Callable[..., Served], new_fleet: Callable[[int], Fleet], eventually: Eventually, kind: str
) -> None:
    """Ending, it may leave `dead` of present incarnations behind; who comes back is alive all the same."""
    broker = serve(kind)
    fleet = new_fleet(broker.port)
    master = fleet.master(liveness_s=LIVENESS_S)
    told = watched(master)
    nodes = [fleet.node(f"n{number}") for number in range(4)]
    quick(*nodes)
    eventually(lambda: len(master.get_nodes_by_status()) == 4)
    gone, staying = nodes[0], nodes[1:]
    broker.pause(keep_memory=True)
    gone.kill()
    broker.resume()
    for node in staying:
        eventually(node.is_connected)
    eventually(master.is_connected)
    eventually(lambda: {n["inc"] for n in master.get_nodes_by_status()} == {n.inc for n in staying})
    eventually(lambda: status_of(master, gone.node_id) == "dead")
    eventually(lambda: told.count(gone.node_id) == 1)
    assert len(told) == len(set(told))
    for node in staying:
        master.send_task(node.node_id, {"still": "works"})
        assert eventually(node.get_task)["still"] == "works"


def test_a_broker_that_comes_later_is_found(
    serve: Callable[..., Served], new_fleet: Callable[[int], Fleet], eventually: Eventually
) -> None:
    broker = serve("mosquitto")
    broker.pause(keep_memory=False)
    fleet = new_fleet(broker.port)
    master, node = fleet.master(start=False), fleet.node(start=False)
    quick(master, node)
    for transport in (master, node):
        assert not transport.start()
        assert transport.last_error == f"nothing listens at 127.0.0.1:{broker.port} (connection refused)"
    node.send_result("held")
    node.publish_status("busy")
    broker.resume()
    eventually(lambda: status_of(master, node.node_id) == "busy")
    eventually(lambda: master.get_results())
    assert master.last_error == node.last_error == ""


def test_results_are_held_over_an_outage_in_order(
    serve: Callable[..., Served], new_fleet: Callable[[int], Fleet], eventually: Eventually
) -> None:
    broker = serve("mosquitto")
    fleet = new_fleet(broker.port)
    master, node = fleet.master(), fleet.node(hold_limit=100)
    quick(master)
    TameLink.of(node).wait_s = 1.0  # the master is there first: nobody else keeps results
    broker.pause(keep_memory=False)
    eventually(lambda: not node.is_connected())
    for number in range(110):
        node.send_result(number, f"t{number}")
    assert node.counters()["messages_dropped"] == 10
    broker.resume()
    eventually(lambda: len(master.get_results().get(node.node_id, [])) == 100)
    assert [r["result"] for r in master.get_results()[node.node_id]] == list(range(10, 110))


def test_a_silent_node_is_dead_by_the_brokers_keepalive(
    embedded: Served, new_fleet: Callable[[int], Fleet], eventually: Eventually
) -> None:
    fleet = new_fleet(embedded.port)
    said: list[MasterEvent] = []
    master = fleet.master(observer=said.append)
    told = watched(master)
    node = fleet.node(keepalive=1)
    eventually(lambda: status_of(master, node.node_id) == "ready")
    TameLink.of(node).pings = False  # it no longer pings, as a program that hangs
    eventually(lambda: told == [node.node_id])
    assert [event.cause for event in said if isinstance(event, DeathReported)] == ["will"]


def test_an_idle_node_stays_alive(
    embedded: Served, new_fleet: Callable[[int], Fleet], eventually: Eventually
) -> None:
    fleet = new_fleet(embedded.port)
    master = fleet.master()
    told = watched(master)
    node, reference = (fleet.node(name, keepalive=2) for name in ("n", "reference"))
    eventually(lambda: len(master.get_nodes_by_status()) == 2)
    TameLink.of(reference).pings = False
    eventually(lambda: told == [reference.node_id])
    assert node.is_connected()
    assert node.counters()["connections"] == 1
    assert status_of(master, node.node_id) == "ready"


def test_a_stopped_master_judges_nobody(fleet: Fleet, eventually: Eventually) -> None:
    clock = fleet.master()
    told_clock = watched(clock)
    master = fleet.master(liveness_s=0.2, start=False)
    told = watched(master)
    node = fleet.node()
    eventually(lambda: status_of(clock, node.node_id) == "ready")
    TameLink.of(node).answers = False
    assert master.start(timeout_s=PATIENCE_S)
    eventually(lambda: status_of(master, node.node_id) == "ready")
    master.stop()
    node.kill()
    eventually(lambda: told_clock == [node.node_id])
    assert told == []
    assert status_of(master, node.node_id) == "ready"


def test_a_death_that_neither_master_nor_broker_was_there_for_is_named_by_the_next(
    serve: Callable[..., Any],
    new_fleet: Callable[[int], Fleet],
    tmp_path: Path,
    eventually: Callable[..., Any],
) -> None:
    broker = serve("mosquitto")
    fleet = new_fleet(broker.port)
    journals = [tmp_path / "master", tmp_path / "executor"]
    master = fleet.master(journal=journals[0])
    where: Any = {"broker_port": broker.port, "namespace": fleet.namespace, "liveness_s": LIVENESS_S}
    nodes = [fleet.node("dies"), fleet.node("lives")]
    quick(*nodes)
    with pytest.raises(JournalError, match="another process has it open"):
        MasterNodeTransport(journal=journals[0])
    with FleetExecutor(journal=journals[1], **where) as executor:
        executor.wait_for_nodes(2, timeout=PATIENCE_S)
        eventually(lambda: len(master.get_nodes_by_status("ready")) == 2)
    master.kill()
    broker.pause(keep_memory=False)
    nodes[0].kill()
    broker.resume()

    master = fleet.master(journal=journals[0], liveness_s=LIVENESS_S)
    named: list[str] = []
    with FleetExecutor(journal=journals[1], **where) as executor:
        executor.set_dead_nodes_callback(named.extend)
        assert eventually(master.get_dead_nodes) == [nodes[0].node_id]
        eventually(lambda: named == [nodes[0].node_id])
        eventually(lambda: list(executor.nodes()) == [nodes[1].node_id])
    master.stop()
    assert status_of(fleet.master(journal=journals[0]), nodes[0].node_id) == "dead"
    with pytest.raises(JournalError, match="not that of a master"):
        MasterNodeTransport(journal=journals[1])
