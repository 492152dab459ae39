"""The programs users write, as they stand, run from anywhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dcompute

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
# The programs name no broker: this stands for one on the usual port, which the test's machine may not have free.
DEFAULT_PORT = """
import sys
for module, name in {classes}:
    init = getattr(__import__(module, fromlist=[name]), name).__init__
    host, _, *rest = init.__defaults__
    init.__defaults__ = (host, int(sys.argv[1]), *rest)
    init.__kwdefaults__["namespace"] = sys.argv[2]
"""


class Programs:
    def __init__(self, folder: Path, fleet: Any) -> None:
        self._folder = folder
        self._fleet = fleet
        self._running: list[subprocess.Popen[str]] = []

    def start(self, source: str, package: str) -> subprocess.Popen[str]:
        classes = [
            (f"{package}master_transport", "MasterNodeTransport"),
            (f"{package}node_transport", "ComputeNodeTransport"),
        ]
        program = source.replace("from dcompute.", f"from {package}")
        modules = Path(dcompute.__file__).parent
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
            env={**os.environ, **({} if package else {"PYTHONPATH": str(modules)})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._running.append(process)
        return process

    def close(self) -> None:
        for process in self._running:
            process.kill()
            process.communicate()


@pytest.fixture
def programs(tmp_path: Path, mosquitto: Any, new_fleet: Any) -> Iterator[tuple[Programs, Any]]:
    fleet = new_fleet(mosquitto.port)
    programs = Programs(tmp_path, fleet)
    yield programs, fleet
    programs.close()


@pytest.mark.parametrize("package", ["dcompute.", ""])
def test_they_find_each_other_and_end_cleanly(programs: Any, eventually: Any, package: str) -> None:
    run, fleet = programs
    watcher = fleet.master()
    master = run.start(MASTER, package)
    probe = fleet.stranger("probe")
    first, second = run.start(NODE, package), run.start(NODE, package)
    infos = eventually(lambda: len(found := watcher.get_nodes_by_status()) == 2 and found)
    assert len({info["node_id"] for info in infos}) == 2, "ids of their own"

    # The master is there when it reports a death: keep dying until it does.
    os.set_blocking(master.stdout.fileno(), False)
    said = ""

    def master_said() -> str:
        nonlocal said
        probe.publish(fleet.topic("ghost/status"), b'{"node_id": "ghost", "status": "ready"}')
        probe.publish(fleet.topic("ghost/status"), b'{"node_id": "ghost", "status": "dead"}')
        said += master.stdout.read() or ""
        return said

    eventually(lambda: "Dead nodes: ['ghost']" in master_said())
    first.send_signal(signal.SIGKILL)
    (dead,) = eventually(
        lambda: [i["node_id"] for i in watcher.get_nodes_by_status("dead") if i["node_id"] != "ghost"]
    )
    eventually(lambda: f"Dead nodes: ['{dead}']" in master_said())
    second.send_signal(signal.SIGINT)
    out, errors = second.communicate(timeout=15)
    assert (second.returncode, out, errors) == (0, "", "")
    (offline,) = eventually(lambda: watcher.get_nodes_by_status("offline"))
    eventually(lambda: f"Dead nodes: ['{offline['node_id']}']" in master_said())
    os.set_blocking(master.stdout.fileno(), True)
    master.send_signal(signal.SIGINT)
    out, errors = master.communicate(timeout=15)
    assert (master.returncode, errors) == (0, "")
    assert out.endswith("Master stopped\n")


def test_a_node_id_is_the_same_at_the_next_start(programs: Any, eventually: Any) -> None:
    run, fleet = programs
    watcher = fleet.master()
    ids = []
    for life in range(2):
        node = run.start(NODE, "dcompute.")
        (info,) = eventually(lambda: watcher.get_nodes_by_status())
        ids.append(info["node_id"])
        node.send_signal(signal.SIGTERM)
        node.communicate(timeout=15)
        assert node.returncode == -signal.SIGTERM, life
        eventually(lambda: watcher.get_nodes_by_status("offline"))
    assert ids[0] == ids[1]


def test_the_defaults_are_those_of_every_broker() -> None:
    from dcompute.master_transport import MasterNodeTransport
    from dcompute.node_transport import ComputeNodeTransport

    for transport in (MasterNodeTransport, ComputeNodeTransport):
        assert transport.__init__.__defaults__[:2] == ("localhost", 1883)
