"""Runs what a hunt wants to know, here or by many workers, until it is over."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from dcompute_sim.campaign import one_run
from dcompute_sim.checks.check import Status
from dcompute_sim.checks.coverage import coverage
from dcompute_sim.checks.verdict import judge
from dcompute_sim.executors import MakeExecutor, side_by_side
from dcompute_sim.hunt.corpus import Entry
from dcompute_sim.hunt.features import features
from dcompute_sim.hunt.hunter import Finding, Hunt, HuntTrial, Shown
from dcompute_sim.hunt.moments import moments
from dcompute_sim.mutants import MutantError
from dcompute_sim.run import BrokerError, EngineError, RunOptions, run_scenario
from dcompute_sim.scenario import Scenario, active_until
from dcompute_sim.shrink.failure import Failure, failures
from dcompute_sim.trace import Event, FaultInjected

LITTLE = 0.01
"""A chance of anything new below which a hunt is over."""

_CHUNK = 4  # runs: what a worker that dies loses, and how far a hunt decides ahead


@dataclass(frozen=True)
class HuntBounds:
    """When a hunt is over, whichever comes first.

    Attributes:
        for_s: of wall time.
        chance: that the next run shows a new step.
    """

    for_s: float | None = None
    runs: int | None = None
    chance: float = LITTLE
    first_finding: bool = False


def run_trial(
    options: RunOptions,
    scenario: Scenario,
    on_trace: Callable[[Sequence[Event]], None] = lambda events: None,
) -> Shown:
    """Run one explicit scenario; what it showed. A crash of the code under test is a failure as any.

    A fault whose event or victim never came leaves the verdict open, and nothing else: without it the run is
    the same. So such a run is judged as that of the scenario without these faults, which is decided and can
    be bred from; a quarter of the bred runs would be in vain else.
    """
    try:
        outcome = run_scenario(scenario, replace(options, seed=None))
    except (EngineError, BrokerError, MutantError):
        raise  # no scenario can be run like this
    except Exception as error:
        said = f"ended by {type(error).__name__}: {error}"
        crash = Failure("run", said, f"ended by {type(error).__name__}", frozenset())
        return Shown(scenario, Status.FAILED, [crash], frozenset(), 1, [], Counter())
    events: Sequence[Event] = outcome.trace.events
    on_trace(events)
    verdict = outcome.verdict
    if verdict.status is Status.INCONCLUSIVE and (never := never_done(events)):
        faults = [fault for fault in scenario.faults if fault.id not in never]
        scenario = scenario.model_copy(update={"faults": faults})
        events = [e for e in events if not (isinstance(e, FaultInjected) and e.entry in never)]
        verdict = judge(scenario.expect, events)
    rng = random.Random(f"{scenario.seed}/moments")
    found = failures(verdict)
    return Shown(
        scenario,
        verdict.status,
        [replace(failure, summary=failure.summary[:500]) for failure in found],
        features(events),
        len(events),
        moments(events, rng, active_until(scenario)),
        coverage([events]).hits,
    )


def never_done(events: Iterable[Event]) -> set[str]:
    """Return the entries of `faults` that struck nobody and nothing."""
    injected = [event for event in events if isinstance(event, FaultInjected)]
    return {event.entry for event in injected if event.not_done} - {
        event.entry for event in injected if not event.not_done
    }


def run_trials(options: RunOptions, trials: Sequence[HuntTrial]) -> list[tuple[HuntTrial, Shown]]:
    """Run some trials, as a worker does; one run at a time in a process."""
    with one_run:
        return [(trial, run_trial(options, trial.scenario)) for trial in trials]


def carry_out(
    hunt: Hunt,
    options: RunOptions,
    bounds: HuntBounds,
    make_executor: MakeExecutor | None = None,
    workers: int = 1,
    *,
    on_kept: Callable[[Entry], None] = lambda entry: None,
    on_finding: Callable[[Finding], None] = lambda finding: None,
    on_progress: Callable[[Hunt], None] = lambda hunt: None,
    now_s: Callable[[], float] = time.monotonic,
) -> str:
    """Hunt until it is over; why it is, in words.

    Args:
        make_executor: where runs are done; here, one after the other, when None.
        on_kept: told of each run that is worth breeding from.
        on_finding: told of each finding when it is made: a hunt may be ended by force.
        now_s: the clock of `bounds.for_s`.

    Raises:
        EngineError, BrokerError, MutantError, WorkersError: nothing can be run like this.
    """
    began_s = now_s()

    def chunks() -> Iterator[list[HuntTrial]]:
        left = bounds.runs
        while left is None or left > 0:
            size = _CHUNK if left is None else min(left, _CHUNK)
            yield [hunt.next() for _ in range(size)]
            left = None if left is None else left - size

    if make_executor is None:
        results: Iterator[list[tuple[HuntTrial, Shown]]] = (run_trials(options, chunk) for chunk in chunks())
    else:
        results = side_by_side(make_executor, run_trials, options, chunks(), workers, _first_run)
    told = 0
    for shown in results:
        for trial, what in shown:
            entry = hunt.take(trial, what)
            if entry is not None:
                on_kept(entry)
        for finding in hunt.findings[told:]:
            on_finding(finding)
        told = len(hunt.findings)
        on_progress(hunt)
        if bounds.first_finding and hunt.findings:
            return "the first finding ends it"
        chance = hunt.steps.chance
        if chance is not None and chance < bounds.chance:
            return "hardly anything new is to be expected"
        if bounds.for_s is not None and now_s() - began_s >= bounds.for_s:
            return "its time is up"
    return "that many runs are done"


def _first_run(chunk: Sequence[HuntTrial]) -> str:
    return f"run {chunk[0].number}"
