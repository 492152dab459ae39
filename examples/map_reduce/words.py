"""What is counted: the same whoever does it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

PIECE_LINES = 200


def pieces(files: Iterable[Path]) -> Iterator[str]:
    """Cut the files into pieces of text."""
    for file in files:
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        for start in range(0, len(lines), PIECE_LINES):
            yield "".join(lines[start : start + PIECE_LINES])


def count_words(text: str) -> dict[str, int]:
    """Map: the words of a piece of text, and how often each is in it."""
    return Counter(re.findall(r"\w+", text.lower()))


def total_of(counts: Iterable[dict[str, int]]) -> Counter[str]:
    """Reduce: add up."""
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return total


def print_most_frequent(total: Counter[str]) -> None:
    """The ten most frequent words."""
    for word, times in total.most_common(10):
        print(f"{times:6} {word}")
