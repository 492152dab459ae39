"""A worker: does the most urgent task that it has, until Ctrl-C.

python worker.py [BROKER_HOST [BROKER_PORT]]
"""

from __future__ import annotations

import argparse
from typing import Any

from dcompute import ComputeNodeTransport, Worker


def work(task: dict[str, Any]) -> Any:
    """Do one task: what it returns is the result, what it raises is told to the master."""
    if task["function"] == "square":
        return task["number"] ** 2
    raise ValueError(f"no function {task['function']!r}")


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("host", nargs="?", default="localhost")
    options.add_argument("port", nargs="?", type=int, default=1883)
    chosen = options.parse_args()
    with ComputeNodeTransport(chosen.host, chosen.port) as node:
        print(f"{node.node_id} is ready", flush=True)
        Worker(node, work).run()
