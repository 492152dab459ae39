"""Guided search against random seeds of the swarm, at equal CPU time.

    python -m benchmarks hunt                           # everything: about an hour of CPU
    HUNT_SHARE=0.1 python -m benchmarks hunt            # a tenth of each budget: the figures scatter more
    HUNT_PARTS=features,planted python -m benchmarks hunt

* features: what a minute of each has shown that is different, and how often it met rare sequences of faults.
* planted: CPU time until the first failure of faults that need two to four rare events in sequence
  (`planted`), and of faults that one condition shows.
* catalogue: how many of the mutants that the catalogue's trials notice late, or never, it notices in the CPU
  time of 200 seeds; beside those 200 seeds themselves.

Both sides do the same runs with the same code, one after the other in one process. What a hunt does besides
(features, choice, breeding) counts as its time; what only the comparison needs does not.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from statistics import median

from dcompute_sim import trace as t
from dcompute_sim.checks import Status
from dcompute_sim.hunt.features import features
from dcompute_sim.hunt.hunter import Hunt
from dcompute_sim.hunt.hunting import run_trial
from dcompute_sim.run import RunOptions, run_scenario
from dcompute_sim.scenario import Scenario, find, load
from dcompute_sim.trace import Event
from dcompute_sim.trace.replayer import Replay

from benchmarks.figures import Figure
from benchmarks.mutants.catalogue import ROOT, catalogue, copy_with
from benchmarks.planted import plant

SHARE = float(os.environ.get("HUNT_SHARE", "1"))
PARTS = os.environ.get("HUNT_PARTS", "features,planted,catalogue").split(",")
MINUTE_S = 60 * SHARE
PATIENCE_S = 240 * SHARE  # for one planted fault
TRIES = max(3, round(7 * SHARE))
SEEDS = 200

RARE = (
    (("reset", "subscribing"), ("broker_restart", "")),
    (("reset", "connecting"), ("broker_stop", "")),
    (("crash", "busy"), ("master_crash", "")),
    (("hang", "busy"), ("broker_restart", "")),
    (("power_cut", "busy"), ("reset", "idle")),
    (("wifi_drop", "connecting"), ("reset", "connecting")),
    (("clone", "idle"), ("hang", "idle")),
    (("clone", "busy"), ("reset", "busy")),
    (("leave", "busy"), ("broker_stop", "")),
    (("stale_will", "idle"), ("stale_offline", "idle")),
    (("dead_link", "busy"), ("master_crash", "")),
    (("restart", "busy"), ("reboot", "subscribing")),
)
"""Pairs of faults: on a node in such a state, and within `SOON_US` on that node, or on broker or master."""
SOON_US = 5_000_000

PLANTED = {
    "two in sequence": ("subscribing", "subscribing"),
    "three in sequence": ("connected", "subscribing", "connecting"),
    "four in sequence": ("connected", "connected", "subscribing", "connected"),
}
ONE_CONDITION = ("no-held-results", "ignore-incarnation", "no-liveness")


def measure() -> list[Figure]:
    logging.disable(logging.CRITICAL)
    parts = {"features": _features, "planted": _planted, "catalogue": _catalogue}
    return [figure for name in PARTS for figure in parts[name]()]


# --- features ---------------------------------------------------------------------------------------------


def _features() -> list[Figure]:
    swarm = load(find("swarm"))
    seen: set[tuple[str, ...]] = set()
    random_hits, spent_s, seed = 0, 0.0, 0
    while spent_s < MINUTE_S:
        seed += 1
        began_s = time.process_time()
        events = run_scenario(swarm, RunOptions(seed=seed)).trace.events
        spent_s += time.process_time() - began_s
        seen |= features(events)
        random_hits += len(rare_hits(events))
    hunt, hits, spent_s = Hunt(swarm), 0, 0.0
    hunted: set[tuple[str, ...]] = set()  # of undecided runs too, as of the random ones
    while spent_s < MINUTE_S:
        traces: list[Sequence[Event]] = []
        began_s = time.process_time()
        trial = hunt.next()
        shown = run_trial(RunOptions(), trial.scenario, on_trace=traces.append)
        hunt.take(trial, shown)
        spent_s += time.process_time() - began_s
        hunted |= shown.features
        hits += sum(len(rare_hits(events)) for events in traces)
    return [
        Figure("random: runs", seed, ""),
        Figure("hunt: runs", hunt.runs, ""),
        Figure("random: distinct features", len(seen), ""),
        Figure("hunt: distinct features", len(hunted), ""),
        Figure("distinct features, times random's", len(hunted) / len(seen), "", "at_least", 1.35),
        Figure("random: hits of rare sequences", random_hits, ""),
        Figure("hunt: hits of rare sequences", hits, ""),
        Figure("hits of rare sequences, times random's", hits / max(1, random_hits), "", "at_least", 4),
    ]


def rare_hits(events: Sequence[Event]) -> set[int]:
    """Which of the rare sequences a run has, by their indices."""
    replay = Replay()
    before: list[tuple[int, str, str, str]] = []  # time, node, kind, state
    found: set[int] = set()
    for event in events:
        if isinstance(event, t.FaultInjected) and not event.not_done:
            state = replay.nodes[event.node]
            doing = "busy" if state.at_work else "idle" if state.link == "connected" else state.link
            now = (event.t_us, event.node, event.kind, doing if event.node else "")
            for at_us, node, kind, was in before:
                if event.t_us - at_us <= SOON_US and event.node in ("", node) and node:
                    pair = ((kind, was), (now[2], now[3]))
                    found |= {index for index, rare in enumerate(RARE) if rare == pair}
            before.append(now)
        replay.take_in(event)
    return found


# --- planted faults ---------------------------------------------------------------------------------------


def _planted() -> list[Figure]:
    figures = []
    for name, ends in PLANTED.items():
        mutant = plant(f"planted-{len(ends)}", *ends)
        figures += _race(name, mutant, 1 / 3)
    for mutant in ONE_CONDITION:
        figures += _race(mutant, mutant, 1.5)
    return figures


def _race(name: str, mutant: str, most: float) -> list[Figure]:
    """Medians of the CPU time until the first failure; what patience ends counts as long as it was."""
    swarm, options = load(find("swarm")), RunOptions(mutants=(mutant,))
    at_random, hunted = [], []
    for number in range(TRIES):
        seeds = itertools.count(1 + 100_000 * number)
        at_random.append(_until_failed(partial(_next_seed_fails, swarm, options, seeds)))
        hunted.append(_until_failed(partial(_next_fails, Hunt(swarm, seed=number + 1), options)))
    ratio = median(hunted) / max(median(at_random), 0.01)
    return [
        Figure(f"{name}: random, median CPU until found", median(at_random), "s"),
        Figure(f"{name}: hunt, median CPU until found", median(hunted), "s"),
        Figure(f"{name}: hunt's time over random's", ratio, "", "at_most", most),
    ]


def _until_failed(try_one: Callable[[], bool], limit_s: float = PATIENCE_S) -> float:
    began_s = time.process_time()
    while not try_one() and time.process_time() - began_s < limit_s:
        pass
    return time.process_time() - began_s


def _fails(swarm: Scenario, options: RunOptions, seed: int) -> bool:
    return run_scenario(swarm, replace(options, seed=seed)).verdict.status is Status.FAILED


def _next_seed_fails(swarm: Scenario, options: RunOptions, seeds: Iterator[int]) -> bool:
    return _fails(swarm, options, next(seeds))


def _next_fails(hunt: Hunt, options: RunOptions) -> bool:
    trial = hunt.next()
    hunt.take(trial, run_trial(options, trial.scenario))
    return bool(hunt.findings)


# --- the catalogue ----------------------------------------------------------------------------------------


def _catalogue() -> list[Figure]:
    """Mutants that the trials notice by a later seed of the swarm only, or not at all."""
    late = [
        mutant
        for mutant in catalogue("dcompute")
        if mutant.equivalent is None and (mutant.caught_by is None or _is_late(mutant.caught_by))
    ]
    caught: Counter[str] = Counter()
    for mutant in late[: max(1, round(len(late) * SHARE))]:
        with copy_with(mutant) as copy:
            path = os.pathsep.join([str(copy), str(ROOT / "sim"), str(ROOT)])
            told = subprocess.run(
                [sys.executable, "-m", "benchmarks.hunt"],
                cwd=copy,
                env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
                capture_output=True,
                text=True,
                check=False,
            )
        noticed = json.loads(told.stdout) if told.returncode == 0 else {"seeds": True, "hunt": True}
        caught.update(side for side, found in noticed.items() if found)
        print(f"  {mutant.name}: {noticed}", flush=True)
    return [
        Figure("late or missed mutants tried", max(1, round(len(late) * SHARE)), ""),
        Figure(f"of these, seeds 1..{SEEDS} notice", caught["seeds"], ""),
        Figure("the hunt notices in the same time", caught["hunt"], ""),
    ]


def _is_late(trial: str) -> bool:
    name, _, seed = trial.partition(" --seed ")
    return name == "swarm" and int(seed) > 4


def _judge_here() -> None:
    """In a process whose `dcompute` is a mutant: whether the seeds notice, and whether a hunt does."""
    logging.disable(logging.CRITICAL)
    swarm = load(find("swarm"))
    began_s = time.process_time()
    by_seeds = False
    for seed in range(1, SEEDS + 1):
        try:
            by_seeds |= _fails(swarm, RunOptions(), seed)
        except Exception:
            by_seeds = True
    budget_s = time.process_time() - began_s
    hunt = Hunt(swarm)
    _until_failed(partial(_next_fails, hunt, RunOptions()), budget_s)
    print(json.dumps({"seeds": by_seeds, "hunt": bool(hunt.findings)}))


if __name__ == "__main__":
    _judge_here()
