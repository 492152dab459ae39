"""FleetExecutor against Dask distributed: empty tasks, singly and in a heap, 8 workers each, in one run.

The journal's cost is in the same table: none, one that survives the death of the process, and one that
survives power loss (an fsync for each batch); so are larger fleets (`executor_fleets`).
`python -m benchmarks executor --json FILE`.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial
from pathlib import Path
from typing import Any

from dcompute_sim.brokers.factory import make_broker
from dcompute_sim.brokers.mosquitto import find_mosquitto

from benchmarks import executor_fleets
from benchmarks.executor_fleets import nodes, running
from benchmarks.figures import Figure
from dcompute.executor import FleetExecutor

WORKERS = 8
TASKS = 6_000
ROUND_TRIPS = 400
REPEATS = 3
KILLS = 20
PATIENCE_S = 60.0
JOURNALS: dict[str, dict[str, Any]] = {
    "no journal": {},
    "journal": {"journal": "work.sqlite"},
    "durable journal": {"journal": "durable.sqlite", "durable": True},
}
PROGRAM = """
import sys
from dcompute import FleetExecutor
port, folder, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
with FleetExecutor("127.0.0.1", port, journal=folder + "/kills.sqlite", settle_s=1.0) as fleet:
    for _ in fleet.map("f", range(count), key="run"):
        pass
    print("done", flush=True)
"""


def measure() -> list[Figure]:
    """All figures."""
    return asyncio.run(_measure())


async def _measure() -> list[Figure]:
    find_mosquitto()
    broker = make_broker("mosquitto")
    await broker.start()
    try:
        return await asyncio.to_thread(_figures, broker.port)
    finally:
        await broker.stop()


def _figures(port: int) -> list[Figure]:
    figures = []
    best = 0.0
    with tempfile.TemporaryDirectory() as folder, running(*nodes(port, WORKERS)):
        for name, options in JOURNALS.items():
            if "journal" in options:
                options = options | {"journal": Path(folder) / options["journal"]}
            with FleetExecutor("127.0.0.1", port, **options) as fleet:
                fleet.wait_for_nodes(WORKERS, timeout=PATIENCE_S)
                count = TASKS // 10 if options.get("durable") else TASKS  # each submit waits for the disk
                submit = partial(fleet.submit, "f")
                rate = max(_rate(submit, count) for _ in range(REPEATS))
                times_ms = _round_trips(submit)
            plain = not options
            best = best or rate
            figures += [
                Figure(f"{name}: empty tasks", rate, "tasks/s", "at_least", 4_000 if plain else None),
                Figure(
                    f"{name}: submit to result, median",
                    *(statistics.median(times_ms), "ms", "at_most", 1.2 if plain else None),
                ),
                Figure(f"{name}: submit to result, p99", sorted(times_ms)[-len(times_ms) // 100], "ms"),
            ]
        figures += _killed(port, folder)
    return figures + _dask(best) + executor_fleets.measure()


def _rate(submit: Callable[[int], Future[Any]], count: int) -> float:
    began_s = time.perf_counter()
    futures = [submit(number) for number in range(count)]
    wait(futures, PATIENCE_S)
    took_s = time.perf_counter() - began_s
    for future in futures:
        future.result(0)
    return count / took_s


def _round_trips(submit: Callable[[int], Any]) -> list[float]:
    """Milliseconds from submit to result, one after the other."""
    times_ms = []
    for number in range(ROUND_TRIPS):
        began_s = time.perf_counter()
        submit(number).result(PATIENCE_S)
        times_ms.append((time.perf_counter() - began_s) * 1e3)
    return times_ms


def _killed(port: int, folder: str) -> list[Figure]:
    """An executor with a journal that is killed again and again, until it gets through."""
    command = [sys.executable, "-c", PROGRAM, str(port), folder, str(TASKS)]
    kills = 0
    began_s = time.perf_counter()
    while time.perf_counter() - began_s < PATIENCE_S:
        within_s = 0.5 + 0.05 * kills if kills < KILLS else PATIENCE_S
        try:
            ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=within_s, check=False)
        except subprocess.TimeoutExpired:  # it was killed (SIGKILL)
            kills += 1
            continue
        return [
            Figure("kills of the executor until its map was done", kills, "kills"),
            Figure("maps finished after the kills", ran.stdout.count("done"), "of 1", "at_least", 1),
        ]
    return [Figure("maps finished after the kills", 0, "of 1", "at_least", 1)]


def _empty(_number: int) -> None:
    return None


def _dask(ours: float) -> list[Figure]:
    import distributed

    dask: Any = distributed
    cluster = dask.LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None)
    with cluster, dask.Client(cluster) as client:
        client.wait_for_workers(WORKERS, timeout=PATIENCE_S)
        client.submit(_empty, -1, pure=False).result()
        best = 0.0
        for _ in range(REPEATS):
            began_s = time.perf_counter()
            client.gather(client.map(_empty, range(TASKS), pure=False))
            best = max(best, TASKS / (time.perf_counter() - began_s))
        times_ms = _round_trips(lambda number: client.submit(_empty, number, pure=False))
    return [
        Figure("Dask distributed: empty tasks", best, "tasks/s"),
        Figure("Dask distributed: submit to result, median", statistics.median(times_ms), "ms"),
        Figure("empty tasks, ours against Dask's", ours / best, "times", "at_least", 1.0),
    ]
