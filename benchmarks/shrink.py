"""Shrinking: ten failing runs, mutants on the swarm, two of them firmware. How small, after how many runs.

Of each mutant the first seed that fails; which one that is changes whenever swarms draw something new.
"""

from __future__ import annotations

import resource
import tempfile
from pathlib import Path

from dcompute_sim.checks import Status
from dcompute_sim.run import RunOptions, run_scenario
from dcompute_sim.scenario import Scenario, find, load
from dcompute_sim.shrink import story
from dcompute_sim.shrink.search import Search

from benchmarks.figures import Figure

RUNS = [
    ("connected-first", "python"),
    ("subscribes-once", "python"),
    ("random-client-id", "python"),
    ("unretained-status", "python"),
    ("ignore-incarnation", "python"),
    ("no-liveness", "python"),
    ("fifo-queue", "python"),
    ("no-held-results", "python"),
    ("no-will", "firmware"),
    ("no-ping", "firmware"),
]
SMALL = 3  # faults, and nodes
MOST_RUNS = 100
MOST_SEEDS = 2000
MOST_CPU_S = {"python": 5.0, "firmware": 60.0}  # of all processes: firmware runs in some of its own


def measure() -> list[Figure]:
    figures, good, alike = [], 0, 0
    for mutant, kind in RUNS:
        scenario = load(find("swarm"), [f"random.node_kinds=[{kind}]"])
        seed = next(seed for seed in range(1, MOST_SEEDS) if _fails(scenario, seed, mutant))
        began_s = _cpu_s()
        shrunk = Search(scenario, RunOptions(seed=seed, mutants=(mutant,))).run()
        took_s = _cpu_s() - began_s
        with tempfile.TemporaryDirectory() as folder:
            alike += story.write(shrunk, Path(folder) / "small.yaml")
        faults, nodes = len(shrunk.scenario.faults), len(shrunk.scenario.nodes())
        good += faults <= SMALL and nodes <= SMALL
        name = f"{mutant}, seed {seed}, {kind}: "
        figures += [
            Figure(f"{name}faults left", faults, ""),
            Figure(f"{name}nodes left", nodes, ""),
            Figure(f"{name}runs", shrunk.runs, "", "at_most", MOST_RUNS),
            Figure(f"{name}CPU", took_s, "s", "at_most", MOST_CPU_S[kind]),
        ]
    small = Figure(
        f"runs with at most {SMALL} faults and nodes left, of {len(RUNS)}", good, "", "at_least", 9
    )
    again = Figure(
        "runs that fail for the same reason, from the file alone", alike, "", "at_least", len(RUNS)
    )
    return [*figures, small, again]


def _cpu_s() -> float:
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def _fails(scenario: Scenario, seed: int, mutant: str) -> bool:
    return run_scenario(scenario, RunOptions(seed=seed, mutants=(mutant,))).verdict.status is Status.FAILED
