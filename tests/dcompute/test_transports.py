"""Master and nodes as their users see them, over mosquitto and over the embedded broker."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from dcompute.master_transport import Backlogged, DeadNode, MasterNodeTransport, UnknownNode
from dcompute.node_transport import ComputeNodeTransport

from ..conftest import PATIENCE_S
from .conftest import Eventually, Fleet, TameLink


def status_of(master: MasterNodeTransport, node_id: str) -> str | None:
    info = master.get_node_info(node_id)
    return info["status"] if info else None


def results_of(master: MasterNodeTransport, node_id: str) -> list[Any]:
    return [record["result"] for record in master.get_results().get(node_id, [])]


def take(node: ComputeNodeTransport, eventually: Callable[..., Any]) -> dict[str, Any]:
    task: dict[str, Any] = eventually(node.get_task)
    return task


# --- tasks and results ----------------------------------------------------------------------------------


def test_a_task_goes_there_and_its_result_comes_back(fleet: Fleet, eventually: Eventually) -> None:
    master, node = fleet.master(), fleet.node()
    eventually(lambda: status_of(master, node.node_id) == "ready")
    data = {"numbers": [1, 2], "text": "Ünï ✓"}
    task_id = master.send_task(node.node_id, data, priority=7)
    assert data == {"numbers": [1, 2], "text": "Ünï ✓"}, "the caller's dict is copied"
    task = take(node, eventually)
    assert task == {**data, "priority": 7, "id": task_id, "attempt": 1}
    assert node.get_task() is None
    began_s = time.time()
    node.send_result({"sum": 3}, task_id)
    (record,) = eventually(lambda: master.get_results(node.node_id)).pop(node.node_id)
    assert record["result"] == {"sum": 3}
    assert (record["task_id"], record["attempt"], record["inc"]) == (task_id, 1, node.inc)
    assert began_s - 1 <= record["timestamp"] <= record["received_at"] <= time.time()


def test_tasks_come_by_priority_then_in_order(fleet: Fleet, eventually: Eventually) -> None:
    master, node = fleet.master(), fleet.node()
    eventually(lambda: status_of(master, node.node_id) == "ready")
    priorities = [1, 10, 5, 10, 5, 1, 3]
    ids = [master.send_task(node.node_id, {"id": f"t{n}"}, p) for n, p in enumerate(priorities)]
    eventually(lambda: node.counters()["tasks_waiting"] == len(ids))
    taken = [take(node, eventually)["id"] for _ in ids]
    assert taken == ["t1", "t3", "t2", "t4", "t6", "t0", "t5"]


def test_a_task_sent_again_is_its_next_attempt(fleet: Fleet, eventually: Eventually) -> None:
    master, node = fleet.master(), fleet.node()
    eventually(lambda: status_of(master, node.node_id) == "ready")
    for attempt in (1, 2):
        assert master.send_task(node.node_id, {"id": "t"}) == "t"
        assert take(node, eventually)["attempt"] == attempt
        node.send_result("done", "t")
    eventually(lambda: master.counters()["duplicate_results"] == 1)
    assert results_of(master, node.node_id) == ["done"]


def test_what_is_refused_is_no_attempt(fleet: Fleet, eventually: Eventually) -> None:
    master, node = fleet.master(hold_limit=0), fleet.node()
    eventually(lambda: status_of(master, node.node_id) == "ready")
    with pytest.raises(ValueError, match="not a JSON value"):
        master.send_task(node.node_id, {"id": "t", "x": {1}})
    with pytest.raises(Backlogged):
        master.send_task(node.node_id, {"id": "t"})
    TameLink.of(master).hold(10)
    master.send_task(node.node_id, {"id": "t"})
    assert take(node, eventually)["attempt"] == 1


def test_what_send_task_refuses(fleet: Fleet, eventually: Eventually) -> None:
    master, node = fleet.master(), fleet.node()
    eventually(lambda: status_of(master, node.node_id) == "ready")
    with pytest.raises(ValueError, match="from 1 to 10, not 11"):
        master.send_task(node.node_id, {}, priority=11)
    with pytest.raises(ValueError, match="'high'"):
        master.send_task(node.node_id, {"priority": "high"})
    with pytest.raises(ValueError, match="set is not a JSON value"):
        master.send_task(node.node_id, {"x": {1}})
    with pytest.raises(ValueError, match="over the limit"):
        master.send_task(node.node_id, {"x": "x" * 300_000})
    with pytest.raises(ValueError, match="only A-Z"):
        master.send_task("a/b", {})
    with pytest.raises(UnknownNode, match="no node 'nobody' has announced itself"):
        master.send_task("nobody", {})
    node.kill()
    eventually(lambda: status_of(master, node.node_id) == "dead")
    with pytest.raises(DeadNode, match="is dead"):
        master.send_task(node.node_id, {})
    master.stop()
    with pytest.raises(RuntimeError, match=r"start\(\)"):
        master.send_task(node.node_id, {})


def test_any_json_value_is_a_result(fleet: Fleet, eventually: Eventually) -> None:
    master, node = fleet.master(), fleet.node()
    values: list[Any] = [None, False, 0, -1.5, "", "Ü✓", [], {"a": [{}]}, "x" * 200_000]
    for value in values:
        node.send_result(value)
    eventually(lambda: len(results_of(master, node.node_id)) == len(values))
    assert results_of(master, node.node_id) == values
    with pytest.raises(ValueError, match="JSON"):
        node.send_result({1, 2})


@pytest.mark.parametrize("shape", [list, set, tuple, frozenset, dict.fromkeys])
def test_results_are_filtered_by_any_collection_of_ids(
    fleet: Fleet, eventually: Eventually, shape: Any
) -> None:
    master = fleet.master()
    nodes = [fleet.node(name) for name in "abc"]
    for number, node in enumerate(nodes):
        node.send_result(number)
    eventually(lambda: len(master.get_results()) == 3)
    a, b, c = (node.node_id for node in nodes)
    assert set(master.get_results(shape([a, b, "unknown"]))) == {a, b}
    assert set(master.get_results(shape([a]), disposable=True)) == {a}
    assert set(master.get_results(b, disposable=True)) == {b}
    assert master.get_results(shape([a, b])) == {}
    assert master.get_results(shape([])) == {}
    assert set(master.get_results(disposable=True)) == {c}
    assert master.get_results() == {}


def test_disposable_results_are_each_collected_once_by_any_number_of_threads(
    fleet: Fleet, eventually: Eventually
) -> None:
    master, node = fleet.master(), fleet.node()
    collected: list[int] = []

    def collect() -> None:
        while len(collected) < 400:
            for records in master.get_results(disposable=True).values():
                collected.extend(record["result"] for record in records)

    threads = [threading.Thread(target=collect) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(400):
        node.send_result(number)
    for thread in threads:
        thread.join(PATIENCE_S)
    assert sorted(collected) == list(range(400))


def test_results_of_many_threads_all_arrive(fleet: Fleet, eventually: Eventually) -> None:
    master, node = fleet.master(), fleet.node()

    def send(thread: int) -> None:
        for number in range(100):
            node.send_result([thread, number])

    threads = [threading.Thread(target=send, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(results_of(master, node.node_id)) == 400)
    for number in range(4):
        assert [n for t, n in results_of(master, node.node_id) if t == number] == list(range(100))


# --- nodes ----------------------------------------------------------------------------------------------


def test_what_is_known_of_a_node(fleet: Fleet, eventually: Eventually) -> None:
    master = fleet.master()
    node = fleet.node(device_type="lab", capabilities={"cores": [2]}, keepalive=17)
    eventually(lambda: status_of(master, node.node_id) == "ready")
    info: Any = master.get_node_info(node.node_id)
    assert info.pop("last_seen") > 1e9
    assert info == {
        "node_id": node.node_id,
        "status": "ready",
        "device_type": "lab",
        "inc": node.inc,
        "capabilities": {"cores": [2], "keepalive": 17, "credit": 16, "slots": 8, "largest": 262144},
    }
    info["capabilities"]["cores"].append("changed by the caller")
    fresh: Any = master.get_node_info(node.node_id)
    assert fresh["capabilities"]["cores"] == [2]
    assert master.get_node_info("nobody") is None
    everyone: Any = master.get_node_info()
    assert [info["node_id"] for info in everyone] == [node.node_id]


def test_nodes_by_status_follow_what_nodes_publish(fleet: Fleet, eventually: Eventually) -> None:
    master = fleet.master()
    nodes = {name: fleet.node(name) for name in "ab"}
    ids = {name: node.node_id for name, node in nodes.items()}

    def having(status: str) -> set[str]:
        return {info["node_id"] for info in master.get_nodes_by_status(status)}

    eventually(lambda: having("ready") == set(ids.values()))
    nodes["a"].publish_status("busy")
    eventually(lambda: having("busy") == {ids["a"]})
    assert {info["node_id"] for info in master.get_nodes_by_status()} == {ids["b"]}
    with pytest.raises(ValueError, match="status must be"):
        nodes["a"].publish_status("")


def test_statuses_of_many_threads_leave_the_last_one(fleet: Fleet, eventually: Eventually) -> None:
    master, node = fleet.master(), fleet.node()
    threads = [
        threading.Thread(target=lambda: any(map(node.publish_status, ("busy", "ready") * 50)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    node.publish_status("done with it")
    eventually(lambda: status_of(master, node.node_id) == "done with it")


def test_nodes_that_were_there_before_are_known(fleet: Fleet, eventually: Eventually) -> None:
    nodes = [fleet.node(f"n{number}") for number in range(20)]
    master = fleet.master()
    eventually(lambda: len(master.get_nodes_by_status("ready")) == len(nodes))
    assert {info["inc"] for info in master.get_nodes_by_status()} == {node.inc for node in nodes}


def test_offline_and_dead_reach_the_callback_and_can_be_told_apart(
    fleet: Fleet, eventually: Eventually
) -> None:
    master = fleet.master()
    told: list[str] = []
    threads: set[str] = set()

    def callback(ids: list[str]) -> None:
        threads.add(threading.current_thread().name)
        told.extend(ids)

    master.set_dead_nodes_callback(callback)
    leaving, crashing = fleet.node("leaving"), fleet.node("crashing")
    eventually(lambda: len(master.get_nodes_by_status()) == 2)
    leaving.stop()
    eventually(lambda: told == [leaving.node_id])
    crashing.kill()
    eventually(lambda: told == [leaving.node_id, crashing.node_id])
    assert status_of(master, leaving.node_id) == "offline"
    assert status_of(master, crashing.node_id) == "dead"
    assert len(threads) == 1
    assert threading.main_thread().name not in threads
    assert master.get_dead_nodes() == told
    assert master.get_dead_nodes(disposable=True) == told
    assert master.get_dead_nodes(disposable=True) == []


def test_a_failing_callback_is_logged_and_stops_nothing(
    fleet: Fleet, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    master = fleet.master()
    told: list[str] = []

    def callback(ids: list[str]) -> None:
        told.extend(ids)
        raise RuntimeError("the user's mistake")

    master.set_dead_nodes_callback(callback)
    for name in "ab":
        node = fleet.node(name)
        eventually(lambda: master.get_nodes_by_status())
        node.kill()
        eventually(lambda node=node: node.node_id in told)
    eventually(lambda: caplog.text.count("the user's mistake") >= 2)
    node = fleet.node("c")
    node.send_result(1)
    eventually(lambda: results_of(master, node.node_id) == [1])


def test_a_callback_may_use_the_master(fleet: Fleet, eventually: Eventually) -> None:
    master = fleet.master()
    spare, dying = fleet.node("spare"), fleet.node("dying")
    eventually(lambda: len(master.get_nodes_by_status()) == 2)
    master.set_dead_nodes_callback(lambda ids: master.send_task(spare.node_id, {"instead_of": ids}))
    dying.kill()
    assert take(spare, eventually)["instead_of"] == [dying.node_id]


def test_a_forgotten_node_is_gone_until_it_connects_anew(fleet: Fleet, eventually: Eventually) -> None:
    master, node = fleet.master(), fleet.node()
    eventually(lambda: status_of(master, node.node_id) == "ready")
    node.send_result(1)
    eventually(lambda: master.get_results())
    master.forget_node(node.node_id)
    node.publish_status("busy")
    eventually(lambda: master.counters()["forgotten_ignored"] > 0)
    assert master.get_node_info() == []
    assert master.get_results() == {}
    with pytest.raises(UnknownNode):
        master.send_task(node.node_id, {})
    node.kill()
    eventually(lambda: master.counters()["forgotten_ignored"] > 1)
    assert master.get_dead_nodes() == []
    back = fleet.node()
    eventually(lambda: status_of(master, back.node_id) == "ready")


def test_forgetting_clears_the_retained_status(fleet: Fleet, eventually: Eventually) -> None:
    master, node = fleet.master(), fleet.node()
    eventually(lambda: status_of(master, node.node_id) == "ready")
    node.stop()
    eventually(lambda: status_of(master, node.node_id) == "offline")
    watcher = fleet.probe_client(topics=["+/status"])
    eventually(lambda: watcher.got)
    master.forget_node(node.node_id)
    eventually(lambda: watcher.got[-1][1] == b"")
    late = fleet.master()
    node = fleet.node("other")
    eventually(lambda: status_of(late, node.node_id) == "ready")
    assert [info["node_id"] for info in late.get_node_info()] == [node.node_id]


# --- others on the wire ---------------------------------------------------------------------------------


def test_an_older_node_can_join(fleet: Fleet, eventually: Eventually) -> None:
    master = fleet.master()
    told: list[str] = []
    master.set_dead_nodes_callback(told.extend)
    old = fleet.id("old")
    status = f"{old}/status"

    def say(value: str) -> bytes:
        return json.dumps({"node_id": old, "status": value}).encode()

    for life in (1, 2):
        node = fleet.probe_client("old", [old], will=(fleet.topic(status), say("dead"), True))
        hello = {"node_id": old, "device_type": "esp32", "status": "connected"}
        node.publish(fleet.topic("initialisation"), json.dumps(hello).encode())
        node.publish(fleet.topic(status), say("ready"), retain=True)
        eventually(lambda: status_of(master, old) == "ready")
        task_id = master.send_task(old, {"n": life}, 3)
        (payload,) = eventually(lambda node=node: node.payloads(fleet.topic(old)))
        task = json.loads(payload)
        assert (task["n"], task["priority"], task["id"]) == (life, 3, task_id)
        answer = {"node_id": old, "result": {"task_id": task_id, "n": life}, "timestamp": 5.0}
        node.publish(fleet.topic("results"), json.dumps(answer).encode(), retain=True)
        eventually(lambda life=life: len(results_of(master, old)) == life)
        node.kill()
        eventually(lambda life=life: told == [old] * life)
    late = fleet.master()
    eventually(lambda: status_of(late, old) == "dead")
    assert late.get_results() == {}, "the result that the older node left retained is no new work"
    eventually(lambda: late.counters()["retained_results"] == 1)


def test_an_older_master_is_understood(fleet: Fleet, eventually: Eventually) -> None:
    node = fleet.node()
    master = fleet.probe_client("oldmaster", ["results", "+/status"])
    status = f"{node.node_id}/status"
    task = fleet.topic(node.node_id)
    eventually(lambda: master.payloads(fleet.topic(status)))
    master.publish(task, json.dumps({"task_info": {"command": "init"}, "priority": 5}).encode())
    eventually(lambda: len(master.payloads(fleet.topic(status))) == 2)
    assert json.loads(master.payloads(fleet.topic(status))[-1])["status"] == "ready"
    master.publish(task, json.dumps({"x": 1, "priority": 2}).encode())
    master.publish(task, json.dumps({"x": 2}).encode())
    assert take(node, eventually)["x"] == 2, "no priority is the middle one"
    eventually(lambda: node.counters()["tasks_received"] == 2)
    assert take(node, eventually)["x"] == 1
    node.send_result({"task_id": "theirs"})
    (payload,) = eventually(lambda: master.payloads(fleet.topic("results")))
    result = json.loads(payload)
    assert result["node_id"] == node.node_id
    assert result["result"] == {"task_id": "theirs"}
    assert isinstance(result["timestamp"], float)


def test_rubbish_on_every_topic_changes_nothing(
    fleet: Fleet, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    master, node = fleet.master(), fleet.node()
    eventually(lambda: status_of(master, node.node_id) == "ready")
    before = master.get_node_info()
    probe = fleet.probe_client()
    rubbish = [b"", b"\xff\xfe", b"{", b"[]", b"null", b"[" * 5000, b'{"node_id": "x/y", "status": "dead"}']
    others = json.dumps({"node_id": node.node_id, "status": "dead"}).encode()
    for payload in [*rubbish, others]:
        for topic in ("initialisation", "results", "thermometer/status", "a b/status", node.node_id):
            if (topic, payload) != ("initialisation", others):
                probe.publish(fleet.topic(topic), payload)
    eventually(lambda: node.counters()["messages_rejected"] == len(rubbish) - 1)
    eventually(lambda: master.counters()["messages_rejected"] >= 4 * len(rubbish) - 1)
    assert 3 < caplog.text.count("master: rejected") < 10, "counted always, logged ever more rarely"
    assert [take(node, eventually)["status"] for _ in range(2)] == ["dead", "dead"], "objects are tasks"
    assert {i["node_id"]: i["status"] for i in master.get_node_info()} == {
        i["node_id"]: i["status"] for i in before
    }
    master.send_task(node.node_id, {"still": "works"})
    assert take(node, eventually)["still"] == "works"


def test_a_death_notice_of_an_older_connection_is_ignored_and_put_right(
    fleet: Fleet, eventually: Eventually
) -> None:
    master, node = fleet.master(), fleet.node()
    watcher = fleet.probe_client("watcher", [f"{node.node_id}/status"])
    eventually(lambda: status_of(master, node.node_id) == "ready")
    eventually(lambda: watcher.got)
    stale = json.dumps({"node_id": node.node_id, "status": "dead", "inc": "older.1"}).encode()
    watcher.publish(fleet.topic(f"{node.node_id}/status"), stale, retain=True)
    eventually(lambda: node.counters()["status_repairs"] == 1)
    eventually(lambda: json.loads(watcher.got[-1][1])["status"] == "ready")
    eventually(lambda: master.counters()["stale_deaths"] == 1)
    assert status_of(master, node.node_id) == "ready"
    assert master.get_dead_nodes() == []


def test_two_namespaces_do_not_see_each_other(
    fleet: Fleet, new_fleet: Callable[[int], Fleet], eventually: Eventually
) -> None:
    other = new_fleet(fleet.port)
    masters = [each.master() for each in (fleet, other)]
    nodes = [each.node() for each in (fleet, other)]
    for master, node in zip(masters, nodes, strict=True):
        eventually(lambda master=master: master.get_nodes_by_status())
        assert [info["node_id"] for info in master.get_node_info()] == [node.node_id]


def test_the_second_of_two_masters_sees_what_the_first_does(fleet: Fleet, eventually: Eventually) -> None:
    first, second, node = fleet.master(), fleet.master(), fleet.node()
    for master in (first, second):
        eventually(lambda master=master: status_of(master, node.node_id) == "ready")
    task = first.send_task(node.node_id, {})
    node.send_result("x", take(node, eventually)["id"])
    for master in (first, second):
        record = eventually(lambda master=master: master.get_results())[node.node_id][0]
        assert record["task_id"] == task


# --- life -----------------------------------------------------------------------------------------------


def test_context_managers_start_and_end_cleanly(fleet: Fleet, eventually: Eventually) -> None:
    watcher = fleet.master()
    with fleet.master(start=False) as master, fleet.node(start=False) as node:
        assert master.is_connected()
        assert node.is_connected()
        node.send_result("last words")
    assert not master.is_connected()
    assert not node.is_connected()
    eventually(lambda: status_of(watcher, node.node_id) == "offline")
    assert results_of(watcher, node.node_id) == ["last words"]
    master.stop()
    node.stop()


def test_offline_is_the_last_word(fleet: Fleet, eventually: Eventually) -> None:
    """A worker that finishes while the node leaves, or a master that asks, must not make it look alive."""
    node = fleet.node()
    watcher = fleet.probe_client("watcher", [f"{node.node_id}/status"])
    eventually(lambda: watcher.got)
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            node.publish_status("busy")
            node.publish_status("ready")
            stop.wait(0.002)  # a broker that is flooded would only be late, which is not the point here

    worker = threading.Thread(target=busy)
    worker.start()
    asker = fleet.probe_client("asker")
    asker.publish(fleet.topic(node.node_id), b'{"task_info": {"command": "init"}}')
    node.stop()
    stop.set()
    worker.join(PATIENCE_S)
    eventually(lambda: json.loads(watcher.got[-1][1])["status"] == "offline")
    assert node.status == "offline"
    late = fleet.probe_client("late", [f"{node.node_id}/status"])
    (_, payload, retained) = eventually(lambda: late.got)[0]
    assert (json.loads(payload)["status"], retained) == ("offline", True)


def test_a_node_that_left_can_start_again(fleet: Fleet, eventually: Eventually) -> None:
    master, node = fleet.master(), fleet.node()
    first = node.inc
    node.stop()
    eventually(lambda: status_of(master, node.node_id) == "offline")
    assert node.start(timeout_s=PATIENCE_S)
    eventually(lambda: status_of(master, node.node_id) == "ready")
    assert node.inc != first


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"keepalive": 0}, "keepalive"),
        ({"keepalive": 1.5}, "whole seconds"),
        ({"namespace": "a//b"}, "node id"),
        ({"device_type": "x" * 65}, "device_type"),
        ({"capabilities": {"cores": {1}}}, "capabilities: set is not a JSON value"),
        ({"password": "secret"}, "needs a username"),
    ],
)
def test_what_no_master_would_understand_is_refused_at_once(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        ComputeNodeTransport(node_id="n", **options)
