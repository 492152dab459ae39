"""What nodes and executors write down while they are killed, and what is wrong with it.

Rules
1. Each life of a program has a file of its own, named by who and which life it is; a line is one `write` to a
   file opened for appending, so that a kill loses no line and tears none.
2. A node writes a line before it begins with a task. An executor writes one when a future is done.
3. A result names the execution that it is of (life and line), so that it can be told whether a result is of
   something that happened, and whether two executors told different ones.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ONCE_EVERY = 10


def is_once(number: int) -> bool:
    """Whether the task of this number may be executed at most once."""
    return number % ONCE_EVERY == 0


class Ledger:
    """The file of this life of a program."""

    def __init__(self, folder: Path, who: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.life = f"{who}.{time.time_ns():x}.{os.getpid()}"
        self._file = os.open(folder / self.life, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        self._lines = 0

    def write(self, **line: Any) -> str:
        """Append a line; returns its name."""
        self._lines += 1
        name = f"{self.life}:{self._lines}"
        os.write(self._file, json.dumps({**line, "line": name}).encode() + b"\n")
        return name


def lines_of(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(life, line) of all files."""
    for path in sorted(folder.iterdir()) if folder.exists() else ():
        for line in path.read_text().splitlines():
            yield path.name, json.loads(line)


@dataclass
class Findings:
    """What came of a campaign."""

    results: int = 0
    unknown: int = 0
    again: int = 0  # executions of tasks that had been executed before
    wrong: list[str] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    took_s: float = 0.0


def judge(executed: Path, told: Path, tasks: int, once: set[int]) -> Findings:
    """Compare what was executed with what the futures said.

    Args:
        executed: the nodes' files: `number`, `attempt`.
        told: the executors' files: `number`, and `result` (an execution's name) or `error`.
        tasks: there are numbers from 0 on.
        once: those that may be executed at most once.
    """
    found = Findings()
    lives: dict[int, list[str]] = defaultdict(list)
    names: dict[str, int] = {}
    for life, line in lines_of(executed):
        lives[line["number"]].append(life)
        names[line["line"]] = line["number"]
    said: dict[int, set[str]] = defaultdict(set)
    for _, line in lines_of(told):
        said[line["number"]].add(line.get("result") or f"error {line['error']}")
    for number in range(tasks):
        where = lives[number]
        found.again += max(0, len(where) - 1)
        for life, count in Counter(where).items():
            if count > 1:
                found.wrong.append(f"task {number} was executed {count} times in one life, {life}")
        if number in once and len(where) > 1:
            found.wrong.append(f"task {number} is to run once, and was executed by {', '.join(where)}")
        if len(said[number]) != 1:
            found.wrong.append(f"task {number} has {len(said[number])} results: {sorted(said[number])}")
            continue
        (answer,) = said[number]
        if number in once and answer == "error OutcomeUnknown":
            found.unknown += 1
        elif names.get(answer) != number:
            found.wrong.append(f"task {number}: {answer} is the result of no execution of it")
        else:
            found.results += 1
    return found
