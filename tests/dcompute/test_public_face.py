"""What users import, and what observers and callbacks are told."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import typing
from typing import Any

import pytest
from dcompute_sim.production_events import of_master, of_node

import dcompute
from dcompute import ComputeNodeTransport, MasterNodeTransport, NodeResult, events

from ..conftest import PATIENCE_S
from .conftest import Eventually, Fleet


def test_everything_public_is_there_and_nothing_is_loaded_before_it_is_asked_for() -> None:
    assert {name: getattr(dcompute, name) for name in dcompute.__all__}
    assert set(dcompute.__all__) <= set(dir(dcompute))
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = dcompute.no_such_name
    program = (
        "import sys, dcompute; print([name for name in sys.modules if 'paho' in name or 'typer' in name])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_attributes_of_the_first_documentation_can_be_read() -> None:
    assert MasterNodeTransport("somewhere", 1884).broker_host == "somewhere"
    assert MasterNodeTransport("somewhere", 1884).broker_port == 1884
    node = ComputeNodeTransport("elsewhere", 1885, "n", install_signal_handlers=False)
    assert (node.broker_host, node.broker_port) == ("elsewhere", 1885)


def test_the_trace_has_an_event_for_each_that_production_tells_and_takes_no_other() -> None:
    def example(kind: type[Any]) -> Any:
        hints = typing.get_type_hints(kind)
        return kind(**{name: {int: 1, bytes: b"{}"}.get(hint, "") for name, hint in hints.items()})

    for kind in typing.get_args(events.NodeEvent):
        assert of_node[kind](1, "n", example(kind)).t_us == 1
    for kind in typing.get_args(events.MasterEvent):
        assert of_master[kind](1, example(kind)).t_us == 1
    with pytest.raises(TypeError, match="MasterConnected"):
        of_node[events.MasterConnected]
    with pytest.raises(TypeError, match="NodeConnected"):
        of_master[events.NodeConnected]


def test_what_a_core_tells_is_an_event_or_an_error() -> None:
    assert events.node_event("task_taken", {"task": "t", "priority": 5, "attempt": 1}) == events.TaskTaken(
        "t", 5, 1
    )
    with pytest.raises(ValueError, match="no event of a node is called 'task_eaten'"):
        events.node_event("task_eaten", {})
    with pytest.raises(ValueError, match=r"'task_taken'.*colour"):
        events.node_event("task_taken", {"colour": "red"})


def test_observers_are_told_typed_events(fleet: Fleet, eventually: Eventually) -> None:
    of_master_: list[events.MasterEvent] = []
    of_node_: list[events.NodeEvent] = []
    master = fleet.master(observer=of_master_.append)
    node = fleet.node(observer=of_node_.append)
    eventually(lambda: master.get_nodes_by_status("ready"))
    task = master.send_task(node.node_id, {"n": 1})
    assert eventually(node.get_task)["id"] == task
    node.send_result({"sum": 3}, task)
    eventually(lambda: events.ResultReceived(node.node_id, task, {"sum": 3}) in of_master_)
    assert of_master_[0] == events.MasterConnected()
    assert events.NodeStatusSeen(node.node_id, "ready", node.inc) in of_master_
    (sent,) = [event for event in of_master_ if isinstance(event, events.TaskSent)]
    assert (sent.task, sent.priority, sent.attempt) == (task, 5, 1)
    assert [event for event in of_node_ if not isinstance(event, events.StatusPublished)] == [
        events.NodeConnecting(node.inc),
        events.NodeSubscribing(node.inc),
        events.NodeConnected(node.inc),
        events.TaskReceived(task, 5, 1),
        events.TaskTaken(task, 5, 1),
        events.ResultHeld(task, {"sum": 3}),
    ]


def test_an_observer_that_raises_stops_nothing(
    fleet: Fleet, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    def raises(event: object) -> None:
        raise RuntimeError("the observer's mistake")

    master, node = fleet.master(observer=raises), fleet.node(observer=raises)
    eventually(lambda: master.get_nodes_by_status("ready"))
    task = master.send_task(node.node_id, {})
    assert eventually(node.get_task)["id"] == task
    node.send_result(1, task)
    eventually(master.get_results)
    node.kill()
    eventually(lambda: master.get_dead_nodes() == [node.node_id])
    assert "the observer's mistake" in caplog.text


# --- results by callback --------------------------------------------------------------------------------


def test_results_go_to_the_callback_in_order_and_are_not_kept(fleet: Fleet, eventually: Eventually) -> None:
    master, node = fleet.master(), fleet.node()
    got: list[NodeResult] = []
    for n in range(3):
        node.send_result(n, f"before-{n}")
    eventually(lambda: len(master.get_results().get(node.node_id, [])) == 3)
    master.set_results_callback(got.extend)
    for n in range(3, 100):
        node.send_result(n, f"after-{n}")
    eventually(lambda: [record["result"] for record in got] == list(range(100)))
    assert {record["node_id"] for record in got} == {node.node_id}
    assert got[0]["task_id"] == "before-0"
    assert master.get_results() == {}
    master.set_results_callback(None)
    node.send_result("kept")
    eventually(lambda: [r["result"] for r in master.get_results().get(node.node_id, ())] == ["kept"])
    assert len(got) == 100


def test_what_the_callback_raises_on_is_kept_in_order(
    fleet: Fleet, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    master, node = fleet.master(), fleet.node()
    go = threading.Event()

    def callback(results: list[NodeResult]) -> None:
        go.wait(2 * PATIENCE_S)
        raise RuntimeError("no disk")

    master.set_results_callback(callback)
    for n in range(20):
        node.send_result(n)
    eventually(lambda: node.counters()["messages_held"] == 0)
    go.set()
    eventually(lambda: "no disk" in caplog.text)
    eventually(lambda: [r["result"] for r in master.get_results().get(node.node_id, ())] == list(range(20)))


# --- the end --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["stop", "_graceful_shutdown_"])
def test_a_node_stops_by_either_name(fleet: Fleet, eventually: Eventually, name: str) -> None:
    node = fleet.node()
    watcher = fleet.probe_client("watcher", [f"{node.node_id}/status"])
    eventually(lambda: watcher.got)
    getattr(node, name)()
    eventually(lambda: json.loads(watcher.got[-1][1])["status"] == "offline")
    assert not node.is_connected()
