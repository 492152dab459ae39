"""The programs users write, as they stand, run from anywhere."""

from __future__ import annotations

import ast
import inspect
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import dcompute

from ..conftest import PATIENCE_S
from .conftest import Eventually, Fleet, Served

MASTER = """
import time
from dcompute.master_transport import MasterNodeTransport
master = MasterNodeTransport()
master.set_dead_nodes_callback(lambda ids: print(f"Dead nodes: {ids}"))
master.start()
try:
    while True:
        time.sleep(1)
except KeyboardInterrupt:
    print("Master stopped")
"""
NODE = """
import time
from dcompute.node_transport import ComputeNodeTransport
node = ComputeNodeTransport()
node.start()
try:
    while True:
        time.sleep(1)
except KeyboardInterrupt:
    node._graceful_shutdown_()
"""
# The programs name no broker: this stands for one on the usual port, which may not be free here.
DEFAULT_PORT = """
import sys
for module, name in {classes}:
    init = getattr(__import__(module, fromlist=[name]), name).__init__
    host, _, *rest = init.__defaults__
    init.__defaults__ = (host, int(sys.argv[1]), *rest)
    init.__kwdefaults__["namespace"] = sys.argv[2]

# Slots of node ids are the machine's: those of other tests' programs come and go meanwhile.
import socket
class Apart(socket.socket):
    def bind(self, address):
        super().bind(address + "-".join(sys.argv[1:3]) if isinstance(address, str) else address)
socket.socket = Apart

# Ctrl-C before its `try` ends a program the hard way: who sends it waits for the loop.
import os, time
def sleep(seconds, sleep=time.sleep):
    open("looping-%d" % os.getpid(), "w").close()
    sleep(seconds)
time.sleep = sleep
"""


class Programs:
    def __init__(self, folder: Path, fleet: Fleet) -> None:
        self._folder = folder
        self._fleet = fleet
        self._running: list[subprocess.Popen[str]] = []

    def start(self, source: str, package: str) -> tuple[subprocess.Popen[str], Path]:
        """The process, and the file with all it says."""
        classes = [
            (f"{package}master_transport", "MasterNodeTransport"),
            (f"{package}node_transport", "ComputeNodeTransport"),
        ]
        program = source.replace("from dcompute.", f"from {package}")
        modules = Path(dcompute.__file__).parent
        environment = dict(os.environ)
        if not package:
            environment["PYTHONPATH"] = str(modules)
        said = self._folder / f"said-{len(self._running)}"
        process = subprocess.Popen(
            [
                sys.executable,
                "-u",
                "-c",
                DEFAULT_PORT.format(classes=classes) + program,
                str(self._fleet.port),
                self._fleet.namespace,
            ],
            cwd=self._folder,
            env=environment,
            stdout=said.open("w"),
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._running.append(process)
        return process, said

    def loops(self, process: subprocess.Popen[str]) -> bool:
        """Whether it has come to its endless loop."""
        return (self._folder / f"looping-{process.pid}").exists()

    def close(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()


def told_dead(said: Path) -> list[str]:
    """Of whom the master's program has said that they are dead: several at once, when they died so."""
    lines = [line for line in said.read_text().splitlines(keepends=True) if line.endswith("]\n")]
    return [node for line in lines for node in ast.literal_eval(line.removeprefix("Dead nodes: "))]


@pytest.fixture
def programs(
    tmp_path: Path, mosquitto: Served, new_fleet: Callable[[int], Fleet]
) -> Iterator[tuple[Programs, Fleet]]:
    fleet = new_fleet(mosquitto.port)
    programs = Programs(tmp_path, fleet)
    yield programs, fleet
    programs.close()


@pytest.mark.parametrize("package", ["dcompute.", ""])
def test_they_find_each_other_and_end_cleanly(
    programs: tuple[Programs, Fleet], eventually: Eventually, package: str
) -> None:
    run, fleet = programs
    watcher = fleet.master()
    master, said = run.start(MASTER, package)
    probe = fleet.probe_client("probe")
    (first, _), (second, second_said) = run.start(NODE, package), run.start(NODE, package)
    infos = eventually(lambda: len(found := watcher.get_nodes_by_status()) == 2 and found)
    assert len({info["node_id"] for info in infos}) == 2, "ids of their own"

    def told_of_ghost() -> bool:
        for status in (b"ready", b"dead"):
            probe.publish(fleet.topic("ghost/status"), b'{"node_id": "ghost", "status": "%s"}' % status)
        return "ghost" in told_dead(said)

    eventually(told_of_ghost)  # the master is there once it reports a death
    first.send_signal(signal.SIGKILL)
    node_ids = {info["node_id"] for info in infos}
    (dead,) = eventually(lambda: node_ids & {i["node_id"] for i in watcher.get_nodes_by_status("dead")})
    eventually(lambda: dead in told_dead(said))
    eventually(lambda: run.loops(second) and run.loops(master))
    second.send_signal(signal.SIGINT)
    assert second.wait(PATIENCE_S) == 0
    assert second_said.read_text() == ""
    (offline,) = eventually(lambda: watcher.get_nodes_by_status("offline"))
    eventually(lambda: offline["node_id"] in told_dead(said))
    master.send_signal(signal.SIGINT)
    assert master.wait(PATIENCE_S) == 0
    lines = said.read_text().splitlines()
    assert lines.pop() == "Master stopped"
    assert all(line.startswith("Dead nodes: ['") for line in lines)


def test_a_node_id_is_the_same_at_the_next_start(
    programs: tuple[Programs, Fleet], eventually: Eventually
) -> None:
    run, fleet = programs
    watcher = fleet.master()
    ids = []
    for life in range(2):
        node, _ = run.start(NODE, "dcompute.")
        (info,) = eventually(lambda: watcher.get_nodes_by_status())
        ids.append(info["node_id"])
        eventually(lambda node=node: run.loops(node))
        node.send_signal(signal.SIGTERM)
        assert node.wait(PATIENCE_S) == -signal.SIGTERM, life
        eventually(lambda: watcher.get_nodes_by_status("offline"))
    assert ids[0] == ids[1]


def test_the_defaults_are_those_of_every_broker() -> None:
    from dcompute.master_transport import MasterNodeTransport
    from dcompute.node_transport import ComputeNodeTransport

    for transport in (MasterNodeTransport, ComputeNodeTransport):
        parameters = inspect.signature(transport).parameters
        assert [parameters[name].default for name in ("broker_host", "broker_port")] == ["localhost", 1883]
