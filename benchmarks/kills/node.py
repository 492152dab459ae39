"""A node that writes down what it executes: `python -m benchmarks.kills.node PORT NAME FOLDER`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.kills.ledger import Ledger
from benchmarks.kills.parent import end_with_it
from dcompute import ComputeNodeTransport, Worker

KEEPALIVE_S = 2
CONCURRENCY = 2


def main(port: str, name: str, folder: str) -> None:
    ledger = Ledger(Path(folder), name)

    def handle(task: dict[str, Any]) -> list[Any]:
        number, each_s = task["args"]
        line = ledger.write(number=number, attempt=task["attempt"])
        time.sleep(each_s)
        return [number, line]

    node = ComputeNodeTransport("127.0.0.1", int(port), name, keepalive=KEEPALIVE_S)
    node.start()
    Worker(node, handle, concurrency=CONCURRENCY).run()


if __name__ == "__main__":
    end_with_it()
    main(*sys.argv[1:])
