"""Counts the words of files on several workers: map on the workers, reduce on the master.

python map_reduce.py --work                      a worker, until Ctrl-C; start as many as you like
python map_reduce.py FILE...                     the master: prints the ten most frequent words

A worker that dies takes its piece with it: the master gives that piece to another one.
"""

from __future__ import annotations

import argparse
import queue
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

from dcompute import ComputeNodeTransport, MasterNodeTransport, Worker

PIECE_LINES = 200
PATIENCE_S = 60.0


def count(task: dict[str, Any]) -> dict[str, int]:
    """Map: the words of a piece of text, and how often each is in it."""
    return Counter(re.findall(r"\w+", task["text"].lower()))


def pieces(files: list[Path]) -> dict[str, str]:
    """Cut the files into pieces, by a name for each."""
    cut = {}
    for file in files:
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        for start in range(0, len(lines), PIECE_LINES):
            cut[f"{file.name}:{start + 1}"] = "".join(lines[start : start + PIECE_LINES])
    return cut


def count_all(master: MasterNodeTransport, texts: dict[str, str]) -> Counter[str]:
    """Reduce: give every piece to the worker with the least to do, and add up what comes back."""
    results: queue.Queue[list[dict[str, Any]]] = queue.Queue()
    master.set_results_callback(results.put)
    todo, given, total = list(texts), dict[str, str](), Counter[str]()
    deadline_s = time.monotonic() + PATIENCE_S
    while todo or given:
        if time.monotonic() > deadline_s:
            raise SystemExit(f"{len(todo) + len(given)} pieces were not counted in {PATIENCE_S:.0f} s")
        alive = [
            node["node_id"] for status in ("ready", "busy") for node in master.get_nodes_by_status(status)
        ]
        lost = [piece for piece, node in given.items() if node not in alive]
        todo += lost
        for piece in lost:
            del given[piece]
        load = Counter(given.values())
        while todo and (free := [node for node in alive if load[node] < 2]):
            node, piece = min(free, key=load.__getitem__), todo.pop()
            master.send_task(node, {"id": piece, "text": texts[piece]})
            given[piece] = node
            load[node] += 1
        try:
            arrived = results.get(timeout=0.1)
        except queue.Empty:
            continue
        for result in arrived:
            if given.pop(result["task_id"], None) is not None:  # else another worker counted it, too
                total.update(result["result"])
    return total


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    parser.add_argument("--work", action="store_true")
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=1883)
    options = parser.parse_args()
    if options.work:
        with ComputeNodeTransport(options.host, options.port) as node:
            print(f"{node.node_id} is ready", flush=True)
            Worker(node, count).run()
        return
    with MasterNodeTransport(options.host, options.port) as master:
        for word, times in count_all(master, pieces(options.files)).most_common(10):
            print(f"{times:6} {word}")


if __name__ == "__main__":
    main()
