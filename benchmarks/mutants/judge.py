"""Judge one mutant: run trials until one notices, in a process whose `dcompute` and firmware are its.

    PYTHONPATH=COPY python -m benchmarks.mutants.judge TRIAL...

Prints a line of JSON for each trial as soon as it has ended, so that whoever waits knows in which one a
mutant has no end: {"trial", "status", "why", "seconds"}. Ends with the first whose verdict is `failed`, or
that ends with an error.
"""

from __future__ import annotations

import json
import logging
import random
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from dcompute_sim.checks import Status
from dcompute_sim.end_to_end.explore import walk
from dcompute_sim.end_to_end.small_world import Bounds, SmallWorld
from dcompute_sim.run import RunOptions, run_scenario
from dcompute_sim.scenario import find, load_all

from benchmarks.mutants.trials import END_TO_END

_WALKS = 300
_TASKS = tuple((name, name in "ad") for name in "abcde")
_FAULTS: Any = dict.fromkeys(("node_crashes", "asker_crashes", "outages", "deaths", "cancels"), 2)
_CONTENDED = Bounds(_TASKS, askers=2, nodes=2, slots=1, queue=2, losses=3, repeats=4, **_FAULTS)


def main(trials: Sequence[str]) -> None:
    """Try one after the other."""
    logging.getLogger().addHandler(logging.NullHandler())  # not disabled: `no_errors_in_log` reads it
    for trial in trials:
        began_s = time.perf_counter()
        status, why = _try(trial)
        print(
            json.dumps(
                {"trial": trial, "status": status, "why": why, "seconds": time.perf_counter() - began_s}
            ),
            flush=True,
        )
        if status in ("failed", "error"):
            return


def _try(trial: str) -> tuple[str, str]:
    """The status of a trial, written as the arguments of `dcompute run`; and of what did not hold, why."""
    if trial == END_TO_END:
        return _end_to_end()
    name, *options = shlex.split(trial)
    overrides = list(_values(options, "--set"))
    seeds = [int(seed) for seed in _values(options, "--seed")]
    try:
        for scenario in load_all(find(name), overrides, seeds[0] if seeds else None):
            verdict = run_scenario(scenario, RunOptions()).verdict
            if verdict.status is Status.FAILED:
                failed = verdict.of(Status.FAILED)
                return "failed", f"{failed[0].name}: {failed[0].outcome.summary}"
            if verdict.status is Status.INCONCLUSIVE:
                return "inconclusive", verdict.of(Status.INCONCLUSIVE)[0].outcome.summary
    except Exception as error:  # what ends a run with a traceback is noticed
        return "error", f"{type(error).__name__}: {error}"[:300]
    return "held", ""


def _end_to_end() -> tuple[str, str]:
    """Those who are acknowledged end to end, in random orders of all that can befall them."""
    try:
        for number in range(_WALKS):
            found = walk(lambda: SmallWorld(_CONTENDED), random.Random(number))
            if found.violation:
                return "failed", str(found.violation)
    except Exception as error:
        return "error", f"{type(error).__name__}: {error}"[:300]
    return "held", ""


def _values(options: Sequence[str], name: str) -> Iterator[Any]:
    pairs = zip(options[::2], options[1::2], strict=True)
    return (value for option, value in pairs if option == name)


if __name__ == "__main__":
    main(sys.argv[1:])
