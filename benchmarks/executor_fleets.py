"""Fleets beside the eight processes: 20 nodes and 100,000 tasks, 1,000 nodes, 300 busy ones and something
urgent, an emulated board.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dcompute_sim.fwbuild.firmware_files import product
from dcompute_sim.micropython.emulated_config import emulated_config

from benchmarks.figures import Figure
from benchmarks.kills.participants import broker
from dcompute.executor import FleetExecutor

MANY_TASKS = 100_000
MANY_TASKS_NODES = 20
FLAT_MB = 16.0  # of 100,000 tasks that would take 260 MB
MANY_NODES = 1_000
BUSY_NODES = 300
BUSY_S = 1.0  # each task
URGENT_TASKS = 40
PATIENCE_S = 120.0
ROUND_TRIPS = 100

NODE = """
import sys
from dcompute import ComputeNodeTransport, Worker
node = ComputeNodeTransport("127.0.0.1", int(sys.argv[1]), sys.argv[2])
node.start()
Worker(node, lambda task: None).run()
"""
# A thousand nodes on one loop, which take no more than time: what is measured is the executor beside so many.
NODES = """
import sys, threading, time
from dcompute import ComputeNodeTransport
from dcompute._mqtt.shared import shared_driver
from dcompute.worker import TaskLoop
each_s = float(sys.argv[3])
def work(task, done):
    began_s = time.monotonic()  # of all processes of this machine
    if each_s:
        shared_driver().call_later(each_s, lambda: done(began_s))
    else:
        done(began_s)
for number in range(int(sys.argv[2])):
    node = ComputeNodeTransport(
        "127.0.0.1", int(sys.argv[1]), f"n{number}", credit=4, install_signal_handlers=False)
    loop = TaskLoop(node, work)
    node.set_task_callback(loop.kick, inline=True)
    node.start(0)
threading.Event().wait()
"""


@contextmanager
def running(*commands: list[str]) -> Iterator[None]:
    """Programs that run meanwhile."""
    processes = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for command in commands
    ]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def nodes(port: int, count: int) -> list[list[str]]:
    """Commands of so many nodes, a process each."""
    return [[sys.executable, "-c", NODE, str(port), f"n{number}"] for number in range(count)]


def measure() -> list[Figure]:
    """All figures, each on a mosquitto as it comes."""
    figures: list[Figure] = []
    for measured in (_many_tasks, _many_nodes, _urgent, _board):
        with tempfile.TemporaryDirectory() as place:
            process, port = broker("mosquitto", Path(place))
            process.start()
            try:
                figures += measured(port, Path(place))
            finally:
                process.end()
    return figures


def _many_tasks(port: int, _place: Path) -> list[Figure]:
    command = [sys.executable, "-m", "benchmarks.many_tasks", str(port)]
    command += [str(MANY_TASKS_NODES), str(MANY_TASKS)]
    figures = []
    with running(*nodes(port, MANY_TASKS_NODES)):
        ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=600, check=True)
    for line in ran.stdout.splitlines():
        found = json.loads(line)
        memory_mb = found["mb"]
        print(f"  {found['way']}: MB after each tenth: {' '.join(f'{mb:.0f}' for mb in memory_mb)}")
        name = f"{MANY_TASKS:,} tasks, {MANY_TASKS_NODES} nodes, {found['way']}"
        figures += [
            Figure(f"{name}: done", found["done"], "tasks", "at_least", MANY_TASKS),
            Figure(f"{name}: rate", MANY_TASKS / found["took_s"], "tasks/s"),
            Figure(f"{name}: memory grew", max(memory_mb) - memory_mb[0], "MB", "at_most", FLAT_MB),
        ]
    return figures


def _many_nodes(port: int, _place: Path) -> list[Figure]:
    with (
        running([sys.executable, "-c", NODES, str(port), str(MANY_NODES), "0"]),
        FleetExecutor("127.0.0.1", port) as fleet,
    ):
        fleet.wait_for_nodes(MANY_NODES, timeout=PATIENCE_S)
        count = 10 * MANY_NODES
        began_s = time.perf_counter()
        done = sum(1 for _ in fleet.map("f", range(count)))
        took_s = time.perf_counter() - began_s
        times_ms = _round_trips(fleet, "f")
    return [
        Figure(f"{MANY_NODES:,} nodes: tasks done", done, "tasks", "at_least", count),
        Figure(f"{MANY_NODES:,} nodes: empty tasks", count / took_s, "tasks/s"),
        Figure(f"{MANY_NODES:,} nodes: submit to result, median", statistics.median(times_ms), "ms"),
    ]


def _urgent(port: int, _place: Path) -> list[Figure]:
    with (
        running([sys.executable, "-c", NODES, str(port), str(BUSY_NODES), str(BUSY_S)]),
        FleetExecutor("127.0.0.1", port) as fleet,
    ):
        fleet.wait_for_nodes(BUSY_NODES, timeout=PATIENCE_S)
        batch = [fleet.submit("f", priority=1 + number % 5) for number in range(BUSY_NODES * 12)]
        waits_s = []
        for _ in range(URGENT_TASKS):
            time.sleep(BUSY_S / 10)
            asked_s = time.monotonic()
            waits_s.append((fleet.submit("f", priority=10), asked_s))
        lengths = [(future.result(PATIENCE_S) - asked_s) / BUSY_S for future, asked_s in waits_s]
        waiting = sum(not future.done() for future in batch)
        fleet.shutdown(cancel_futures=True)
    title = f"{BUSY_NODES} busy nodes, an urgent task begins"
    return [
        Figure(f"{title}: median", statistics.median(lengths), "task lengths"),
        Figure(f"{title}: longest, the way included", max(lengths), "task lengths", "at_most", 1.1),
        Figure(f"{title}: before others", waiting, "tasks", "at_least", 1),
    ]


def _board(port: int, place: Path) -> list[Figure]:
    config = place / "config.py"
    settings = emulated_config("127.0.0.1", port, POLL_MS=10)
    config.write_text("".join(f"{name} = {value!r}\n" for name, value in settings.items()))
    command = [sys.executable, "-m", "dcompute", "emulator", "run", str(product()), str(config)]
    with running(command), FleetExecutor("127.0.0.1", port) as fleet:
        fleet.wait_for_nodes(1, timeout=PATIENCE_S)
        times_ms = _round_trips(fleet, "add")
    return [
        Figure("an emulated board: submit to result, median", statistics.median(times_ms), "ms"),
        Figure("an emulated board: submit to result, p90", sorted(times_ms)[-len(times_ms) // 10], "ms"),
    ]


def _round_trips(fleet: FleetExecutor, function: str) -> list[float]:
    times_ms = []
    for number in range(ROUND_TRIPS):
        began_s = time.perf_counter()
        fleet.submit(function, number).result(PATIENCE_S)
        times_ms.append((time.perf_counter() - began_s) * 1e3)
    return times_ms
