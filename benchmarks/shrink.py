"""Shrinking: ten failing runs, mutants on the swarm, two of them firmware. How small, after how many runs.

Of each mutant the first seed that fails; which one that is changes whenever swarms draw something new.
"""

from __future__ import annotations

import time

from dcompute_sim.checks import Status
from dcompute_sim.run import RunOptions, run_scenario
from dcompute_sim.scenario import Scenario, find, load
from dcompute_sim.shrink.search import Search

from benchmarks.figures import Figure

RUNS = [
    ("connected-first", "python"),
    ("subscribes-once", "python"),
    ("random-client-id", "python"),
    ("unretained-status", "python"),
    ("ignore-incarnation", "python"),
    ("no-liveness", "python"),
    ("accept-repeats", "python"),
    ("no-held-results", "python"),
    ("no-will", "firmware"),
    ("no-ping", "firmware"),
]
SMALL = 3  # faults, and nodes
MOST_RUNS = 100
MOST_SEEDS = 2000
MOST_CPU_S = {"python": 5.0, "firmware": 60.0}  # firmware runs in processes of its own: wall time


def measure() -> list[Figure]:
    figures, good = [], 0
    for mutant, kind in RUNS:
        scenario = load(find("swarm"), [f"random.node_kinds=[{kind}]"])
        seed = next(seed for seed in range(1, MOST_SEEDS) if _fails(scenario, seed, mutant))
        clock = time.process_time if kind == "python" else time.perf_counter
        began_s = clock()
        shrunk = Search(scenario, RunOptions(seed=seed, mutants=(mutant,))).run()
        took_s = clock() - began_s
        faults, nodes = len(shrunk.scenario.faults), len(shrunk.scenario.nodes())
        good += faults <= SMALL and nodes <= SMALL
        name = f"{mutant}, seed {seed}, {kind}: "
        figures += [
            Figure(f"{name}faults left", faults, ""),
            Figure(f"{name}nodes left", nodes, ""),
            Figure(f"{name}runs", shrunk.runs, "", "at_most", MOST_RUNS),
            Figure(f"{name}time", took_s, "s", "at_most", MOST_CPU_S[kind]),
        ]
    small = Figure(
        f"runs with at most {SMALL} faults and nodes left, of {len(RUNS)}", good, "", "at_least", 9
    )
    return [*figures, small]


def _fails(scenario: Scenario, seed: int, mutant: str) -> bool:
    return run_scenario(scenario, RunOptions(seed=seed, mutants=(mutant,))).verdict.status is Status.FAILED
