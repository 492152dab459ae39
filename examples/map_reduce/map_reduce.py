"""Counts the words of files on several workers: map on the workers, reduce here.

python map_reduce.py --work                      a worker, until Ctrl-C; start as many as you like
python map_reduce.py FILE...                     prints the ten most frequent words

A worker that dies loses nothing: its pieces are counted by others. The same with other libraries, for
comparison: with_futures.py (the cores of this machine), with_dask.py.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from words import (  # type: ignore[import-not-found]  # beside this file
    count_words,
    pieces,
    print_most_frequent,
    total_of,
)

from dcompute import ComputeNodeTransport, FleetExecutor, Worker


def work(host: str, port: int) -> None:
    """Count what comes."""

    def handle(task: dict[str, Any]) -> Any:
        return count_words(*task["args"])

    with ComputeNodeTransport(host, port) as node:
        print(f"{node.node_id} is ready", flush=True)
        Worker(node, handle).run()


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
        work(options.host, options.port)
        return
    with FleetExecutor(options.host, options.port) as fleet:
        print_most_frequent(total_of(fleet.map("count_words", pieces(options.files))))


if __name__ == "__main__":
    main()
