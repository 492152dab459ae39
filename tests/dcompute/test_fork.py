"""A fork shares no connection with its parent, and cannot use the parent's transports."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from dcompute import Forked, MasterNodeTransport
from dcompute._master.node_record import DEFAULT_KEEPALIVE_S

from ..conftest import PATIENCE_S
from .conftest import Eventually, Fleet, Served

NODE = """
import os, sys, time
from dcompute import ComputeNodeTransport
node = ComputeNodeTransport("127.0.0.1", int(sys.argv[1]), sys.argv[2] + "-n", namespace=sys.argv[2])
assert node.start()
if os.fork() == 0:
    os.close(1)
    time.sleep(600)
    os._exit(0)
print("forked", flush=True)
time.sleep(600)
"""


def in_child(call: Callable[[], object]) -> str:
    """What `call` raises in a forked child, as text."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            call()
            said = "nothing"
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    said = os.read(reading, 10_000).decode()
    os.close(reading)
    os.waitpid(child, 0)
    return said


def test_a_killed_node_is_noticed_at_once_whatever_it_had_forked(
    mosquitto: Served, new_fleet: Callable[[int], Fleet], eventually: Eventually
) -> None:
    fleet = new_fleet(mosquitto.port)
    master = fleet.master()
    process = subprocess.Popen(
        [sys.executable, "-c", NODE, str(fleet.port), fleet.namespace],
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "forked\n"
        eventually(lambda: master.get_nodes_by_status("ready"))
        process.kill()
        process.wait()
        assert PATIENCE_S < 1.5 * DEFAULT_KEEPALIVE_S
        eventually(master.get_dead_nodes)  # by the connection's end, not after one and a half keepalives
    finally:
        os.killpg(process.pid, signal.SIGKILL)


def test_a_forked_copy_refuses_to_work(fleet: Fleet, eventually: Eventually) -> None:
    master, node = fleet.master(), fleet.node()
    eventually(lambda: master.get_nodes_by_status("ready"))
    calls: list[Callable[[], object]] = [
        master.start,
        master.flush,
        lambda: master.send_task(node.node_id, {}),
        node.start,
        node.get_task,
        node.flush,
        lambda: node.send_result(1),
        lambda: node.publish_status("busy"),
    ]
    for call in calls:
        assert in_child(call).startswith("Forked: this ")
    assert f"was made by process {os.getpid()}" in in_child(node.get_task)
    assert issubclass(Forked, RuntimeError)


def test_in_a_child_the_end_does_nothing(fleet: Fleet, eventually: Eventually) -> None:
    master, node = fleet.master(), fleet.node()
    eventually(lambda: master.get_nodes_by_status("ready"))
    for call in (node.stop, node._graceful_shutdown_, node.kill, master.stop, master.kill):
        assert in_child(call) == "nothing"
    task = master.send_task(node.node_id, {})
    assert eventually(node.get_task)["id"] == task
    assert master.get_dead_nodes() == []
    assert (node.counters()["connections"], master.counters()["connections"]) == (1, 1)


def test_a_child_may_have_transports_of_its_own(fleet: Fleet) -> None:
    fleet.master()

    def use() -> None:
        with MasterNodeTransport("127.0.0.1", fleet.port) as own:
            assert own.is_connected(), own.last_error

    assert in_child(use) == "nothing"


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_child_alone_leaves_the_node_ready(
    mosquitto: Served, new_fleet: Callable[[int], Fleet], eventually: Eventually, signum: int
) -> None:
    fleet = new_fleet(mosquitto.port)
    master = fleet.master()
    program = NODE.replace('print("forked"', 'print("forked", child').replace(
        "if os.fork() == 0:", "child = os.fork()\nif child == 0:"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(fleet.port), fleet.namespace],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        process_group=0,
    )
    try:
        assert process.stdout is not None
        child = int(process.stdout.readline().split()[1])
        eventually(lambda: master.get_nodes_by_status("ready"))
        os.kill(child, signum)
        task = master.send_task(fleet.id("n"), {})
        assert task
        eventually(lambda: master.counters()["messages_held"] == 0)
        assert master.get_dead_nodes() == []
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
