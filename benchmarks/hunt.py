"""Guided search against random seeds of the swarm, at equal CPU time.

    python -m benchmarks hunt                           # everything: some hours of CPU
    HUNT_SHARE=0.1 python -m benchmarks hunt            # a tenth of each budget: the figures scatter more
    HUNT_PARTS=features,planted python -m benchmarks hunt
    HUNT_OCCASIONS=2 python -m benchmarks hunt          # of the five minutes of the features
    HUNT_ONLY=four HUNT_TRIES=5 HUNT_PARTS=planted python -m benchmarks hunt

* features: what a minute of each has shown that is different, and how often it met rare sequences of faults;
  of several minutes. Rare is what is on a list (`rare`); and any two faults at a node that is in between two
  states each time. Of few hits a ratio says little: its bounds (95 %) are printed beside it.
* planted: CPU time until the first failure of faults that need two to four rare events in sequence
  (`planted`), and of faults that one condition shows. A try that patience ends counts as long as it was, so
  of a median that is no less than patience only that is known; how many were found is printed.
* held_back: the same of planted faults that nothing in the hunt was judged by while it was made.
* catalogue: how many of the mutants that the catalogue's trials notice late, or never, it notices in the CPU
  time of 200 seeds; beside those 200 seeds themselves. It covers the part `dcompute`.

Both sides do the same runs with the same code, in one process. What a hunt does besides
(features, choice, breeding) counts as its time; what only the comparison needs does not.
"""

from __future__ import annotations

import itertools
import json
import logging
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import mean, median
from typing import TypeVar

from dcompute_sim.checks import Status
from dcompute_sim.hunt.features import features
from dcompute_sim.hunt.hunter import Hunt
from dcompute_sim.hunt.hunting import run_trial
from dcompute_sim.run import RunOptions, run_scenario
from dcompute_sim.scenario import Scenario, find, load
from dcompute_sim.trace import Event

from benchmarks.figures import Figure
from benchmarks.mutants.catalogue import ROOT, catalogue, copy_with
from benchmarks.planted import plant
from benchmarks.rare import Pair, pairs_of_faults, rare_sequences

R = TypeVar("R")
SHARE = float(os.environ.get("HUNT_SHARE", "1"))
PARTS = os.environ.get("HUNT_PARTS", "features,planted,held_back,catalogue").split(",")
MINUTE_S = 60 * SHARE
PATIENCE_S = 240 * SHARE  # for one planted fault
TRIES = int(os.environ.get("HUNT_TRIES", max(3, round(7 * SHARE))))
ONLY = os.environ.get("HUNT_ONLY", "")  # of the planted faults: a part of their names
OCCASIONS = max(1, round(float(os.environ.get("HUNT_OCCASIONS", "5"))))
SEEDS = 200
RARE = frozenset(rare_sequences())

BETWEEN = ("connecting", "subscribing", "busy")

PLANTED = {
    "two in sequence": ("subscribing", "subscribing"),
    "three in sequence": ("connected", "subscribing", "connecting"),
    "four in sequence": ("connected", "connected", "subscribing", "connected"),
}
HELD_BACK = {
    "two in sequence, held back": ("subscribing", "connecting"),
    "three in sequence, held back": ("subscribing", "connected", "subscribing"),
    "four in sequence, held back": ("connecting", "subscribing", "connected", "subscribing"),
}
ONE_CONDITION = ("no-held-results", "ignore-incarnation", "no-liveness")


def measure() -> list[Figure]:
    logging.getLogger().addHandler(logging.NullHandler())  # not disabled: `no_errors_in_log` reads it
    parts: dict[str, Callable[[], list[Figure]]] = {
        "features": _features,
        "planted": partial(_planted, PLANTED, ONE_CONDITION),
        "held_back": partial(_planted, HELD_BACK, ()),
        "catalogue": _catalogue,
    }
    return [figure for name in PARTS for figure in parts[name]()]


# --- features ---------------------------------------------------------------------------------------------


def _features() -> list[Figure]:
    """Of several minutes, for rare sequences are few in one. The weights of mutations were chosen on other
    seeds than these."""
    swarm = load(find("swarm"))
    random_runs, hunts = Side(), Side()
    ratios = []
    for occasion in range(1, OCCASIONS + 1):
        seeds = itertools.count(1_000_000 * occasion)
        hunt = Hunt(swarm, seed=1_000_000 * occasion)
        at_random, hunted = Side(), Side()
        while min(at_random.spent_s, hunted.spent_s) < MINUTE_S:
            if at_random.spent_s <= hunted.spent_s:  # in turns: what else this machine does slows both alike
                events = at_random.timed(partial(_events, swarm, next(seeds)))
                at_random.take(features(events), events)
            else:
                shown, events = hunted.timed(partial(_one_more, hunt))
                hunted.take(shown, events)
        ratios.append(len(hunted.features) / len(at_random.features))
        random_runs.add(at_random)
        hunts.add(hunted)
    return [
        Figure("minutes of each", OCCASIONS, ""),
        Figure("random: runs", random_runs.runs, ""),
        Figure("hunt: runs", hunts.runs, ""),
        Figure("random: features of a minute, on average", random_runs.shown / OCCASIONS, ""),
        Figure("hunt: features of a minute, on average", hunts.shown / OCCASIONS, ""),
        Figure("distinct features, times random's, median", median(ratios), "", "at_least", 1.35),
        Figure("distinct features, times random's, the least", min(ratios), ""),
        *_compared("rare sequences", random_runs.hits, hunts.hits, 4),
        Figure(f"random: of {len(RARE)} rare sequences met", len(random_runs.met), ""),
        Figure(f"hunt: of {len(RARE)} rare sequences met", len(hunts.met), ""),
        *_compared("two faults in between two states", random_runs.between, hunts.between),
    ]


def _compared(what: str, at_random: int, hunted: int, least: float | None = None) -> list[Figure]:
    """How often each side met something in the same time, and between which bounds the ratio of the rates
    lies with a certainty of 95 %: as of two counts of rare events, of which half a one is added to each."""
    ratio = (hunted + 0.5) / (at_random + 0.5)
    factor = math.exp(1.96 * math.sqrt(1 / (hunted + 0.5) + 1 / (at_random + 0.5)))
    return [
        Figure(f"random: hits of {what}", at_random, ""),
        Figure(f"hunt: hits of {what}", hunted, ""),
        Figure(f"{what}, times random's", ratio, "", "at_least", least),
        Figure(f"{what}, times random's, at least", ratio / factor, ""),
        Figure(f"{what}, times random's, at most", ratio * factor, ""),
    ]


@dataclass
class Side:
    """What one of the two has done, and what it showed: of undecided runs too."""

    spent_s: float = 0.0
    runs: int = 0
    hits: int = 0
    met: set[Pair] = field(default_factory=set)
    between: int = 0
    shown: int = 0
    features: set[tuple[str, ...]] = field(default_factory=set)

    def timed(self, do: Callable[[], R]) -> R:
        began_s = time.process_time()
        done = do()
        self.spent_s += time.process_time() - began_s
        self.runs += 1
        return done

    def take(self, shown: Set[tuple[str, ...]], events: Sequence[Event]) -> None:
        self.features |= shown
        pairs = pairs_of_faults(events)
        self.hits += len(pairs & RARE)
        self.met |= pairs & RARE
        self.between += sum(first in BETWEEN and second in BETWEEN for (_, first), (_, second) in pairs)

    def add(self, other: Side) -> None:
        self.spent_s += other.spent_s
        self.runs += other.runs
        self.hits += other.hits
        self.met |= other.met
        self.between += other.between
        self.shown += len(other.features)


def _events(swarm: Scenario, seed: int) -> Sequence[Event]:
    return run_scenario(swarm, RunOptions(seed=seed)).trace.events


def _one_more(hunt: Hunt) -> tuple[Set[tuple[str, ...]], Sequence[Event]]:
    traces: list[Sequence[Event]] = []
    trial = hunt.next()
    shown = run_trial(RunOptions(), trial.scenario, on_trace=traces.append)
    hunt.take(trial, shown)
    return shown.features, traces[0] if traces else []


# --- planted faults ---------------------------------------------------------------------------------------


def _planted(sequences: Mapping[str, Sequence[str]], mutants: Sequence[str]) -> list[Figure]:
    figures = []
    for name, ends in sequences.items():
        if ONLY in name:
            figures += _race(name, plant(f"planted-{'-'.join(ends)}", *ends), 1 / 3)
    for mutant in mutants:
        if ONLY in mutant:
            figures += _race(mutant, mutant, 1.5)
    return figures


def _race(name: str, mutant: str, most: float) -> list[Figure]:
    """Medians of the CPU time until the first failure; what patience ends counts as long as it was. Of what
    the second or third run shows the median is a whole number of runs, and the mean says more."""
    swarm, options = load(find("swarm")), RunOptions(mutants=(mutant,))
    at_random, hunted = [], []
    for number in range(TRIES):
        seeds = itertools.count(1 + 100_000 * number)
        at_random.append(_until_failed(partial(_next_seed_fails, swarm, options, seeds)))
        hunted.append(_until_failed(partial(_next_fails, Hunt(swarm, seed=number + 1), options)))
        print(f"  {name}: random {at_random[-1]:.1f} s, hunt {hunted[-1]:.1f} s", flush=True)
    ratio = median(hunted) / max(median(at_random), 0.01)
    return [
        Figure(f"{name}: tries of each", TRIES, ""),
        Figure(f"{name}: random found it in", sum(took_s < PATIENCE_S for took_s in at_random), ""),
        Figure(f"{name}: hunt found it in", sum(took_s < PATIENCE_S for took_s in hunted), ""),
        Figure(f"{name}: random, median CPU until found", median(at_random), "s"),
        Figure(f"{name}: hunt, median CPU until found", median(hunted), "s"),
        Figure(f"{name}: hunt's time over random's", ratio, "", "at_most", most),
        Figure(f"{name}: likewise of the means", mean(hunted) / max(mean(at_random), 0.01), ""),
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
    tried = late[: max(1, round(len(late) * SHARE))]
    swarm = load(find("swarm"))
    began_s = time.process_time()
    for seed in range(1, SEEDS + 1):
        _fails(swarm, RunOptions(), seed)
    budget_s = time.process_time() - began_s
    took_s: dict[str, list[float]] = {"seeds": [], "hunt": []}
    for mutant in tried:
        with copy_with(mutant) as copy:
            path = os.pathsep.join([str(copy), str(ROOT / "sim"), str(ROOT)])
            told = subprocess.run(
                [sys.executable, "-m", "benchmarks.hunt", str(budget_s)],
                cwd=copy,
                env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
                capture_output=True,
                text=True,
                check=True,
            )
        noticed = json.loads(told.stdout)
        for side, after_s in noticed.items():
            took_s[side].append(math.inf if after_s is None else after_s)
        print(f"  {mutant.name}: {noticed}", flush=True)
    return [
        Figure("late or missed mutants tried", len(tried), ""),
        Figure(f"CPU time of {SEEDS} seeds", budget_s, "s"),
        *(
            Figure(f"{side}: noticed in that time", sum(map(math.isfinite, times)), "")
            for side, times in took_s.items()
        ),
        *(Figure(f"{side}: CPU until noticed, median", median(times), "s") for side, times in took_s.items()),
    ]


def _is_late(trial: str) -> bool:
    name, _, seed = trial.partition(" --seed ")
    return name == "swarm" and int(seed) > 4


def _judge_here(budget_s: float) -> None:
    """In a process whose `dcompute` is a mutant: after what CPU time the seeds notice, and a hunt does."""
    logging.getLogger().addHandler(logging.NullHandler())  # not disabled: `no_errors_in_log` reads it
    swarm = load(find("swarm"))
    sides = {
        "seeds": partial(_next_seed_fails, swarm, RunOptions(), iter(range(1, SEEDS + 1))),
        "hunt": partial(_next_fails, Hunt(swarm), RunOptions()),
    }
    print(json.dumps({side: _noticed_after(try_one, budget_s) for side, try_one in sides.items()}))


def _noticed_after(try_one: Callable[[], bool], budget_s: float) -> float | None:
    """A crash is noticed as well; `None` is what was not noticed in the time, or by any seed."""
    began_s = time.process_time()
    while time.process_time() - began_s < budget_s:
        try:
            noticed = try_one()
        except StopIteration:
            return None
        except Exception:
            noticed = True
        if noticed:
            return time.process_time() - began_s
    return None


if __name__ == "__main__":
    _judge_here(float(sys.argv[1]))
