"""The worker loop and `dcompute node`: what a handler returns or raises reaches the master."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dcompute.events import MasterEvent, NodeStatusSeen
from dcompute.master_transport import MasterNodeTransport
from dcompute.node_transport import ComputeNodeTransport
from dcompute.worker import Worker, load_handler

from ..conftest import PATIENCE_S
from .conftest import Eventually, Fleet, Served

HANDLERS = """
import os
def double(task):
    return 2 * task["n"]
def environment(task):
    return sorted(os.environ)
not_a_function = 5
"""


def results(master: Any) -> list[Any]:
    return [record["result"] for records in master.get_results().values() for record in records]


Pair = tuple[MasterNodeTransport, ComputeNodeTransport, list[str]]


@pytest.fixture
def pair(mosquitto: Served, new_fleet: Callable[[int], Fleet], eventually: Eventually) -> Pair:
    fleet = new_fleet(mosquitto.port)
    statuses: list[str] = []

    def observe(event: MasterEvent) -> None:
        if isinstance(event, NodeStatusSeen):
            statuses.append(event.status)

    master, node = fleet.master(observer=observe), fleet.node()
    eventually(lambda: master.get_nodes_by_status("ready"))
    return master, node, statuses


def test_results_in_order_and_busy_while_there_is_work(pair: Pair, eventually: Eventually) -> None:
    master, node, statuses = pair
    go = threading.Event()
    threads = set()

    def handler(task: dict[str, Any]) -> int:
        go.wait(2 * PATIENCE_S)
        threads.add(threading.current_thread())
        return int(task["n"]) ** 2

    worker = Worker(node, handler)
    ids = [master.send_task(node.node_id, {"n": n}) for n in range(5)]
    eventually(lambda: master.get_nodes_by_status("busy") and node.counters()["tasks_waiting"] == 4)
    go.set()  # only now: done faster than the next one came, a node is rightly ready in between
    eventually(lambda: len(results(master)) == 5)
    records = master.get_results()[node.node_id]
    assert [(r["task_id"], r["result"]) for r in records] == list(zip(ids, [0, 1, 4, 9, 16], strict=True))
    eventually(lambda: statuses[-1] == "ready")
    assert statuses == ["connected", "ready", "busy", "ready"]
    assert len(threads) == 1
    assert threads.isdisjoint({threading.main_thread()})
    worker.stop()


def test_work_that_waited_before_the_worker_is_done(pair: Pair, eventually: Eventually) -> None:
    master, node, _ = pair
    for n in range(3):
        master.send_task(node.node_id, {"n": n})
    eventually(lambda: node.counters()["tasks_waiting"] == 3)
    Worker(node, lambda task: task["n"])
    eventually(lambda: results(master) == [0, 1, 2])


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("even its text fails")


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (ZeroDivisionError("by zero"), "ZeroDivisionError: by zero"),
        (SystemExit(3), "SystemExit: 3"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (Unspeakable(), "Unspeakable"),
    ],
)
def test_a_failing_handler_answers_with_its_traceback_and_the_next_task_is_done(
    pair: Pair, eventually: Eventually, failure: BaseException, said: str
) -> None:
    master, node, _ = pair

    def handler(task: dict[str, Any]) -> str:
        if task["fails"]:
            raise failure
        return "fine"

    Worker(node, handler)
    for fails in (True, False):
        master.send_task(node.node_id, {"fails": fails})
    eventually(lambda: len(results(master)) == 2)
    failed, fine = results(master)
    assert said in failed["error"]
    assert "Traceback" in failed["traceback"]
    assert "raise failure" in failed["traceback"]
    assert fine == "fine"
    eventually(lambda: master.get_nodes_by_status("ready"))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({1, 2}, "set is not a JSON value"),
        ("x" * 300_000, "over the limit"),
        ({"\ud800": 1}, "surrogates"),
        ({("x" * 300_000,): 1}, "JSON keys are strings"),
    ],
)
def test_a_result_that_cannot_be_sent_is_answered_with_why(
    pair: Pair, eventually: Eventually, value: Any, said: str
) -> None:
    master, node, _ = pair
    Worker(node, lambda task: value if task["bad"] else "fine")
    for bad in (True, False):
        master.send_task(node.node_id, {"bad": bad})
    eventually(lambda: len(results(master)) == 2)
    assert said in results(master)[0]["error"]
    assert results(master)[1] == "fine"


def test_stop_finishes_the_task_at_work_and_leaves_the_others(pair: Pair, eventually: Eventually) -> None:
    master, node, _ = pair
    begun, go = threading.Event(), threading.Event()

    def handler(task: dict[str, Any]) -> str:
        begun.set()
        go.wait(2 * PATIENCE_S)
        return "done"

    worker = Worker(node, handler)
    running = threading.Thread(target=worker.run)
    running.start()
    for _ in range(3):
        master.send_task(node.node_id, {})
    eventually(lambda: node.counters()["tasks_received"] == 3)
    begun.wait(PATIENCE_S)
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    eventually(lambda: worker.is_stopping)
    go.set()
    for thread in (stopping, running):
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    eventually(lambda: results(master) == ["done"])
    eventually(lambda: master.get_nodes_by_status("ready"))
    assert node.counters()["tasks_waiting"] == 2


def test_a_handler_may_stop_its_worker(pair: Pair, eventually: Eventually) -> None:
    master, node, _ = pair
    workers: list[Worker] = []
    workers.append(Worker(node, lambda task: workers[0].stop()))
    master.send_task(node.node_id, {})
    workers[0].run()
    eventually(lambda: results(master) == [None])


# --- the command ----------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "handlers.py").write_text(HANDLERS)
    return tmp_path


def command(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", "from dcompute.cli import main; main()", *arguments],
        cwd=folder,
        env={**os.environ, "COLUMNS": "200", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )


def test_dcompute_node_runs_a_handler(
    folder: Path, mosquitto: Served, new_fleet: Callable[[int], Fleet], eventually: Eventually
) -> None:
    fleet = new_fleet(mosquitto.port)
    master = fleet.master()
    url = f"mqtt://127.0.0.1:{mosquitto.port}"
    where = ("--broker", url, "--namespace", fleet.namespace, "--node-id", fleet.id("cli"))
    process = command(folder, "node", "--handler", "handlers:double", *where)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == f"node {fleet.id('cli')} is ready at 127.0.0.1:{mosquitto.port}\n"
        eventually(lambda: master.get_nodes_by_status("ready"))
        master.send_task(fleet.id("cli"), {"n": 21})
        eventually(lambda: results(master) == [42])
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, out) == (130, f"node {fleet.id('cli')} is offline\n")
        eventually(lambda: master.get_nodes_by_status("offline"))
    finally:
        process.kill()
        process.communicate()


def test_ctrl_c_ends_it_in_the_midst_of_long_work(
    folder: Path, mosquitto: Served, new_fleet: Callable[[int], Fleet], eventually: Eventually
) -> None:
    (folder / "handlers.py").write_text("import time\ndef long(task): time.sleep(1000)\n")
    fleet = new_fleet(mosquitto.port)
    master = fleet.master()
    url = f"mqtt://127.0.0.1:{mosquitto.port}"
    where = ("--broker", url, "--namespace", fleet.namespace, "--node-id", fleet.id("cli"))
    process = command(folder, "node", "--handler", "handlers:long", *where)
    try:
        eventually(lambda: master.get_nodes_by_status("ready"))
        master.send_task(fleet.id("cli"), {})
        eventually(lambda: master.get_nodes_by_status("busy"))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 130
        eventually(lambda: master.get_nodes_by_status("offline"))
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--handler", "handlers:nothing"), "handlers has no nothing"),
        (("--handler", "handlers:double", "--node-id", "a/b"), "only A-Z a-z 0-9"),
        (
            ("--handler", "handlers:double", "--broker", "mqtts://x", "--ca", "missing.pem"),
            "CA file missing.pem",
        ),
        (("--handler", "handlers:double", "--ca", "missing.pem"), "write mqtts://"),
        (("--handler", "handlers:double", "--broker", "kiln:1883"), "begins with mqtt://"),
        (("--handler", "handlers:double", "--broker", "mqtt://me:secret@kiln"), "set DCOMPUTE_PASSWORD"),
        (("--handler", "handlers:double", "--keepalive", "0"), "keepalive"),
    ],
)
def test_dcompute_node_says_what_is_wrong(folder: Path, arguments: tuple[str, ...], said: str) -> None:
    process = command(folder, "node", *arguments)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    assert said in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("handlers", "package.module:function"),
        (":f", "package.module:function"),
        ("no_such_module:f", "cannot import no_such_module"),
        ("handlers:nothing", "has no nothing"),
        ("handlers:not_a_function", "is not a function"),
    ],
)
def test_a_bad_handler_name_is_explained(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, complaint: str
) -> None:
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "handlers", raising=False)
    with pytest.raises(ValueError, match=complaint):
        load_handler(name)
    monkeypatch.delitem(sys.modules, "handlers", raising=False)
