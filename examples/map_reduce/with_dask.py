"""The same with Dask distributed, on a cluster of processes: python with_dask.py FILE..."""

import sys
from pathlib import Path
from typing import Any

import distributed
from words import (  # type: ignore[import-not-found]  # beside this file
    count_words,
    pieces,
    print_most_frequent,
    total_of,
)

dask: Any = distributed  # untyped

if __name__ == "__main__":
    with dask.LocalCluster(n_workers=2, dashboard_address=None) as cluster, dask.Client(cluster) as client:
        counts = client.gather(client.map(count_words, list(pieces(map(Path, sys.argv[1:])))))
        print_most_frequent(total_of(counts))
