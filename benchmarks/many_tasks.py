"""What 100,000 tasks cost whoever wants them done: the program that `benchmarks.executor` runs and reads.

`python -m benchmarks.many_tasks PORT NODES TASKS`: a JSON line for each way of asking, with the memory of
this process after each tenth.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from dcompute.executor import FleetExecutor


def main(port: str, nodes: str, tasks: str) -> None:
    count = int(tasks)
    with FleetExecutor("127.0.0.1", int(port)) as fleet:
        fleet.wait_for_nodes(int(nodes), timeout=60)
        sum(1 for _ in fleet.map("f", range(2_000)))  # what is loaded and made once
        for way, ask in {"submit": _submit, "map": _map}.items():
            samples_mb: list[float] = []
            began_s = time.monotonic()
            done = ask(fleet, count, samples_mb)
            took_s = time.monotonic() - began_s
            print(json.dumps({"way": way, "done": done, "took_s": took_s, "mb": samples_mb}), flush=True)


def _submit(fleet: FleetExecutor, count: int, samples_mb: list[float]) -> int:
    """In a tight loop, holding nothing: results are counted as they come."""
    done = 0
    finished = threading.Event()

    def note(future: Future[Any]) -> None:
        nonlocal done
        done += future.exception() is None
        _sample(done, count, samples_mb)
        if done == count:
            finished.set()

    for number in range(count):
        fleet.submit("f", number).add_done_callback(note)
    finished.wait(120)
    return done


def _map(fleet: FleetExecutor, count: int, samples_mb: list[float]) -> int:
    done = 0
    for _ in fleet.map("f", range(count)):
        done += 1
        _sample(done, count, samples_mb)
    return done


def _sample(done: int, count: int, samples_mb: list[float]) -> None:
    if done % (count // 10) == 0:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        samples_mb.append(pages * 4096 / 1e6)


if __name__ == "__main__":
    main(*sys.argv[1:])
