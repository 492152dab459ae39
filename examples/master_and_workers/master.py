"""A master: gives tasks to all workers that are ready, adds their results up, and reports who dies.

python master.py [BROKER_HOST [BROKER_PORT]]
"""

from __future__ import annotations

import argparse
import itertools
import queue
import time

from dcompute import MasterNodeTransport, NodeInfo, NodeResult

TASKS = 10
PATIENCE_S = 30.0


def main(host: str, port: int) -> None:
    """Send the tasks and wait for as many results."""
    arrived: queue.Queue[list[NodeResult]] = queue.Queue()
    with MasterNodeTransport(host, port) as master:
        master.set_dead_nodes_callback(lambda nodes: print(f"dead: {', '.join(nodes)}", flush=True))
        master.set_results_callback(arrived.put)
        for number, node in zip(range(TASKS), itertools.cycle(ready(master)), strict=False):
            urgent = number == TASKS - 1  # sent last, done first by a worker that has several
            task = {"function": "square", "number": number}
            master.send_task(node["node_id"], task, priority=10 if urgent else 5)
        results: list[NodeResult] = []
        while len(results) < TASKS:
            results += arrived.get(timeout=PATIENCE_S)
    workers = {result["node_id"] for result in results}
    print(f"{TASKS} results of {len(workers)} workers, sum {sum(result['result'] for result in results)}")


def ready(master: MasterNodeTransport) -> list[NodeInfo]:
    """Wait until a worker is ready, and a moment for the others: they are known within a second."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not master.get_nodes_by_status("ready"):
        if time.monotonic() > deadline_s:
            raise SystemExit("no worker is ready: start some with worker.py")
        time.sleep(0.05)
    time.sleep(0.5)
    return master.get_nodes_by_status("ready")


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("host", nargs="?", default="localhost")
    options.add_argument("port", nargs="?", type=int, default=1883)
    chosen = options.parse_args()
    main(chosen.host, chosen.port)
