"""Shrinking: ten failing runs, mutants on the swarm, two of them firmware. How small, after how many runs."""

from __future__ import annotations

import time

from dcompute_sim.run import RunOptions
from dcompute_sim.scenario import find, load
from dcompute_sim.shrink.search import Search

from benchmarks.figures import Figure

RUNS = [
    ("connected-first", 346, "python"),
    ("subscribes-once", 2, "python"),
    ("random-client-id", 1, "python"),
    ("unretained-status", 1, "python"),
    ("ignore-incarnation", 5, "python"),
    ("no-liveness", 52, "python"),
    ("accept-repeats", 1, "python"),
    ("no-held-results", 2, "python"),
    ("no-will", 2, "firmware"),
    ("no-ping", 1, "firmware"),
]
SMALL = 3  # faults, and nodes
MOST_RUNS = 100
MOST_CPU_S = {"python": 5.0, "firmware": 60.0}  # firmware runs in processes of its own: wall time


def measure() -> list[Figure]:
    figures, good = [], 0
    for mutant, seed, kind in RUNS:
        scenario = load(find("swarm"), [f"random.node_kinds=[{kind}]"])
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
