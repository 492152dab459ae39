"""A message over which the broker closes the connection is set aside, and what stands behind it goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from dcompute_sim import Scenario, run_scenario
from dcompute_sim.brokers.conformance import wire
from dcompute_sim.brokers.conformance.wire import PacketKind
from hypothesis import given, settings
from hypothesis import strategies as st

from dcompute import MasterNodeTransport, events
from dcompute._mqtt.suspects import CLOSES_TO_CONVICT, CLOSES_TO_CONVICT_A_USUAL_ONE, Suspect, Suspects

from .conftest import Client, Eventually, Fleet, World

BIG = "x" * 30_000  # over the broker's limit
LIMIT = "max_packet_size 20000"


def kept(payload: bytes) -> Suspect:
    return Suspect("t", payload, True)


class Case:
    """Suspects, and what is sent on after each close of the broker."""

    def __init__(self) -> None:
        self.suspects = Suspects()

    def closed(self, *in_flight: Suspect, largest: int = 0, stopped: bool = False) -> bool:
        """Whether it is to be set aside when it is to be sent again; `stopped`: the broker was."""
        self.suspects.closed(in_flight, largest, "closed")
        if stopped:
            self.suspects.unreachable()
        return self.suspects.convicts(in_flight[-1])


def test_alone_it_is_convicted_at_the_second_close() -> None:
    case = Case()
    assert not case.closed(kept(b"large"))
    assert case.suspects.careful
    assert case.closed(kept(b"large"))
    assert not case.suspects.careful
    assert not case.suspects.convicts(kept(b"large"))


def test_among_others_it_is_convicted_once_it_is_alone() -> None:
    case = Case()
    assert not case.closed(kept(b"small"), kept(b"large"))
    assert not case.closed(kept(b"small"), kept(b"large")), "however often: it may be the other"
    case.suspects.clear(kept(b"small"))
    assert not case.closed(kept(b"large"), largest=5), "as large as one that was acknowledged: two more"
    assert case.closed(kept(b"large"), largest=4)


def test_a_usual_one_takes_five() -> None:
    case = Case()
    verdicts = [case.closed(kept(b"usual"), largest=5) for _ in range(CLOSES_TO_CONVICT_A_USUAL_ONE)]
    assert verdicts == [False] * (CLOSES_TO_CONVICT_A_USUAL_ONE - 1) + [True]


def test_what_is_said_anew_on_each_connection_is_known_by_its_topic() -> None:
    case = Case()
    assert not case.closed(Suspect("me/status", b"x" * 50 + b"inc 1", False))
    assert case.closed(Suspect("me/status", b"x" * 50 + b"inc 2", False))
    assert not case.suspects.allows("me/status", 55)
    assert case.suspects.allows("me/status", 54)
    assert case.suspects.allows("other/status", 1000)
    case.closed(Suspect("probe", b"", False))
    case.suspects.all_acknowledged()
    assert not case.suspects.careful


def test_what_is_said_anew_may_have_become_smaller_meanwhile() -> None:
    case = Case()
    for _ in range(2):
        case.suspects.closed([Suspect("me/status", b"x" * 50, False)], 0, "closed")
    assert not case.suspects.convicts(Suspect("me/status", b"x" * 49, False))
    assert not case.suspects.allows("me/status", 50)


@given(st.lists(st.booleans(), max_size=20), st.booleans())
def test_only_the_closes_of_a_broker_that_is_there_count(stopped: list[bool], usual: bool) -> None:
    case = Case()
    counted = 0
    for each in stopped:
        convicted = case.closed(kept(b"one"), largest=3 * usual, stopped=each)
        counted += not each
        assert convicted is (counted == (CLOSES_TO_CONVICT_A_USUAL_ONE if usual else CLOSES_TO_CONVICT))
        if convicted:
            counted = 0
        assert case.suspects.careful is bool(counted)


def test_what_is_said_anew_is_tried_once_more() -> None:
    suspects = Suspects()
    status = Suspect("me/status", b"ready", False)

    def convict() -> None:
        for _ in range(CLOSES_TO_CONVICT):
            suspects.closed([status], 0, "closed")
        assert suspects.convicts(status)
        assert not suspects.allows("me/status", 5)

    assert not suspects.pardon(), "nothing was convicted"
    convict()
    assert suspects.pardon()
    assert suspects.allows("me/status", 5)
    convict()
    assert not suspects.pardon(), "it was tried, and the broker closed again"
    assert not suspects.allows("me/status", 5)
    suspects.acknowledged(Suspect("me/status", b"", False))
    assert suspects.pardon(), "the broker takes this topic"


@pytest.mark.parametrize("before", ["0ms", "20ms", "60ms"])
def test_a_network_that_resets_young_connections_keeps_no_idle_node_dead(before: str) -> None:
    """However many, and whatever of its greeting was on the way; a hunt found the fifth connection's end."""
    for resets in range(1, 7):
        faults = [
            {
                "kind": "reset",
                "when": {"event": "node_connected", "count": number, "after": before},
                "select": {"same": True},
                "witness": "optional",
            }
            for number in range(1, resets + 1)
        ]
        scenario = Scenario.model_validate(
            {
                "version": 1,
                "name": "young",
                "time": "virtual",
                "broker": "model",
                "phases": {"storm": "60s", "quiet": "60s"},
                "fleet": {"n": {"count": 1, "keepalive": "20s", "network": {"latency": "40ms"}}},
                "faults": faults,
                "expect": ["final_status"],
            }
        )
        results = {it.name: it.outcome for it in run_scenario(scenario).verdict.results}
        assert results["final_status"].status == "held", (resets, results["final_status"].summary)


@given(st.lists(st.integers(0, 400), min_size=1, max_size=60, unique=True), st.integers(0, 400))
@settings(max_examples=60)
def test_whatever_the_limit_only_what_is_over_it_is_set_aside_and_all_else_arrives(
    new_world: Callable[[], Any], sizes: list[int], limit: int
) -> None:
    world = new_world()
    client = Client(world)
    sent = [b"x" * size for size in sizes]
    client.send(*sent)
    client.start()
    arrived: list[bytes] = []
    connections = 0
    while client.link.held() and connections < 3 * len(sizes) + 3:
        broker = world.wires[-1].accept()
        connections += 1
        while packets := [packet for packet in broker.heard() if packet.kind == PacketKind.PUBLISH]:
            for packet in packets:
                message = wire.read_publish(packet)
                if len(message.payload) > limit:
                    broker.lose()
                elif not broker.lost:
                    arrived.append(message.payload)
                    broker.say(wire.acknowledgement(PacketKind.PUBACK, message.packet_id))
        if broker.lost:
            world.until_dial()
    over = {payload for payload in sent if len(payload) > limit}
    assert {payload for payload, _ in client.refused} == over
    assert set(arrived) == set(sent) - over
    assert connections <= CLOSES_TO_CONVICT * len(over) + 1 + len(over)


def test_a_reset_now_and_then_convicts_nobody(new_world: Callable[[], Any]) -> None:
    world = new_world()
    client = Client(world)
    client.up().published()
    for number in range(200):
        client.send(b"usual %03d" % number)
        broker = world.wires[-1]
        if number and number % 3 == 0:  # lost before its PUBACK
            broker.heard()
            broker.lose(ConnectionResetError())
            world.until_dial()[1].accept()
        world.wires[-1].published()
    assert client.refused == []
    assert client.link.held() == 0


def test_a_broker_that_is_stopped_over_and_over_convicts_nobody(new_world: Callable[[], Any]) -> None:
    world = new_world()
    client = Client(world)
    client.up().published()
    for number in range(10):
        client.send(b"larger than all before".ljust(30 + number, b"."))
        for _ in range(3):
            broker = world.wires[-1]
            broker.heard()
            broker.lose()
            world.until_dial()[1].lose(ConnectionRefusedError())
            world.until_dial()[1].accept()
        world.wires[-1].published()
    assert client.refused == []
    assert client.link.held() == 0


# --- over a broker with a limit -------------------------------------------------------------------------


def test_a_task_is_answered_to_its_sender_and_the_others_are_done(
    stock_mosquitto: Callable[..., int],
    new_fleet: Callable[[int], Fleet],
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    fleet = new_fleet(stock_mosquitto(LIMIT))
    told: list[events.MasterEvent] = []
    master, node = fleet.master(observer=told.append), fleet.node()
    eventually(lambda: master.get_nodes_by_status("ready"))
    ids = [master.send_task(node.node_id, {"n": n, "fill": BIG if n == 3 else ""}) for n in range(10)]
    eventually(lambda: node.counters()["tasks_waiting"] == 9)  # before: nobody to hear results

    def done() -> list[int]:
        while (task := node.get_task()) is not None:
            node.send_result(task["n"], task["id"])
        results = {r["task_id"]: r["result"] for r in master.get_results().get(node.node_id, ())}
        return [results[task] for task in ids] if len(results) == len(ids) else []

    results = eventually(done)
    assert [n for n in results if isinstance(n, int)] == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert "cannot be sent" in results[3]["error"]
    assert "is it too large for the broker" in results[3]["error"]
    (aside,) = [event for event in told if isinstance(event, events.TaskSetAside)]
    assert (aside.node, aside.task) == (node.node_id, ids[3])
    assert "master: set aside a message of" in caplog.text
    assert master.is_connected()


def test_while_it_is_being_found_out_last_error_says_what_is_suspected(world: World) -> None:
    master = MasterNodeTransport(driver=world)
    master.start()
    broker = world.wires[-1].accept()
    hello = {"node_id": "n", "status": "connected", "device_type": "x", "inc": "a.1"}
    broker.say(wire.publish("initialisation", json.dumps(hello).encode(), qos=1, packet_id=1))
    master.send_task("n", {"fill": BIG})
    broker.lose()
    assert "while a message of 30," in master.last_error
    assert "on n was on its way" in master.last_error


def test_in_place_of_a_result_an_error_arrives(
    stock_mosquitto: Callable[..., int],
    new_fleet: Callable[[int], Fleet],
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    fleet = new_fleet(stock_mosquitto(LIMIT))
    told: list[events.NodeEvent] = []
    master, node = fleet.master(), fleet.node(observer=told.append)
    for n in range(10):
        node.send_result(BIG if n == 3 else n, f"t{n}")
    records = eventually(lambda: len(found := master.get_results().get(node.node_id, ())) == 10 and found)
    by_task = {record["task_id"]: record["result"] for record in records}
    assert "cannot be sent" in by_task.pop("t3")["error"]
    assert by_task == {f"t{n}": n for n in range(10) if n != 3}
    assert [event.task for event in told if isinstance(event, events.ResultSetAside)] == ["t3"]
    assert f"{node.node_id}: set aside a message of" in caplog.text


def test_a_status_is_set_aside_and_results_go_on(
    stock_mosquitto: Callable[..., int],
    new_fleet: Callable[[int], Fleet],
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    fleet = new_fleet(stock_mosquitto("max_packet_size 10000"))
    master = fleet.master()
    node = fleet.node(capabilities={"fill": BIG[:12_000]}, start=False)
    node.start(timeout_s=0)
    node.send_result("small", "t")
    eventually(lambda: master.get_results().get(node.node_id))
    assert f"{node.node_id}: set aside a message of" in caplog.text
