"""The same on the cores of this machine, with the standard library: python with_futures.py FILE..."""

import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from words import (  # type: ignore[import-not-found]  # beside this file
    count_words,
    pieces,
    print_most_frequent,
    total_of,
)

if __name__ == "__main__":
    with ProcessPoolExecutor() as pool:
        print_most_frequent(total_of(pool.map(count_words, pieces(map(Path, sys.argv[1:])))))
