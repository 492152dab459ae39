"""What virtual time costs: big fleets for hours, small ones over many seeds; with bare SimPy beside.

Each case runs in a process of its own (`benchmarks.virtual_cases`), so that memory is that case's alone;
times are processor time, as other work on the machine is not ours to measure. `python -m benchmarks.virtual`
measures everything, `python -m benchmarks.virtual fleet 1000 1` (or `seeds`) one case.

`python -m benchmarks virtual --rev REVISION` compares with another day: both do seeds by turns, and each turn
of one is compared with the turn of the other beside it, for a busy machine is slow for both. Not by SimPy,
which is over in less than a second: measured so, the same code was between 0.77 and 1.1 of itself.
"""

from __future__ import annotations

import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import Figure, print_figures
from benchmarks.source_graph import ROOT

_TURNS = 9


def _command(case: Sequence[object]) -> list[str]:
    return [sys.executable, "-m", "benchmarks.virtual_cases", *map(str, case)]


def _start(*case: object) -> subprocess.Popen[str]:
    return subprocess.Popen(_command(case), stdout=subprocess.PIPE, text=True)


def _result(process: subprocess.Popen[str]) -> dict[str, float]:
    output, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"benchmark case {process.args!r} ended with {process.returncode}")
    found: dict[str, float] = json.loads(output)
    return found


def _seeds_in(tree: Path) -> float:
    """Seeds a second of processor time, by the code of that work tree."""
    paths = os.pathsep.join([str(tree), str(tree / "sim")])
    found = subprocess.run(
        _command(["seeds"]),
        cwd=tree,
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        check=True,
    )
    figures: dict[str, float] = json.loads(found.stdout)
    return figures["seeds_per_s"]


def _against(revision: str) -> list[Figure]:
    packed = subprocess.run(
        ["git", "archive", "--format=tar", revision], cwd=ROOT, check=True, stdout=subprocess.PIPE
    ).stdout
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(folder, filter="data")
        pairs = [(_seeds_in(ROOT), _seeds_in(Path(folder))) for _ in range(_TURNS)]
    now, then = (statistics.median(found) for found in zip(*pairs, strict=True))
    ratios = sorted(of_now / of_then for of_now, of_then in pairs)
    return [
        Figure("seeds a second of processor time, now", now, "/s"),
        Figure(f"the same, {revision}", then, "/s"),
        Figure(
            f"now against then, median of {_TURNS} turns", statistics.median(ratios), "times", "at_least", 0.9
        ),
        Figure("the least of them", ratios[0], "times"),
        Figure("the most of them", ratios[-1], "times"),
    ]


def measure(revision: str | None = None) -> list[Figure]:
    """All figures; with a revision only how fast it was."""
    if revision is not None:
        return _against(revision)
    hour, twice, day = (_result(_start("fleet", *size)) for size in ((1_000, 1), (2_000, 1), (500, 24)))
    one = _result(_start("seeds"))
    pair = [_result(process) for process in [_start("seeds"), _start("seeds")]]
    ratio = twice["cpu_s"] / hour["cpu_s"]
    both = sum(result["seeds_per_s"] for result in pair)
    return [
        Figure("1,000 nodes, 1 h, 10 results each: CPU", hour["cpu_s"], "s", "at_most", 5),
        Figure("1,000 nodes, 1 h, 10 results each: peak memory", hour["rss_mib"], "MiB", "at_most", 60),
        Figure("2,000 nodes against 1,000: CPU", ratio, "times", "at_most", 2.2),
        Figure("500 nodes, 24 h: CPU", day["cpu_s"], "s", "at_most", 75),
        Figure("10 nodes, 2 min, 20 tasks, 4 faults: one process", one["seeds_per_s"], "/s", "at_least", 60),
        Figure("10 nodes, 2 min, 20 tasks, 4 faults: two processes", both, "/s", "at_least", 110),
        Figure("bare SimPy beside 1,000 nodes", hour["simpy_events_per_s"], "events/s"),
        Figure("bare SimPy beside one process of seeds", one["simpy_events_per_s"], "events/s"),
    ]


def main(case: Sequence[str]) -> int:
    """One case, or everything when none is named."""
    if case:
        return subprocess.run(_command(case)).returncode
    print_figures("virtual", measure())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
