"""Tries reductions until nothing more can go, or the budget is spent."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace

from dcompute_sim.checks.check import Check
from dcompute_sim.checks.verdict import label_of
from dcompute_sim.run import BrokerError, EngineError, RunOptions, planned, run_scenario
from dcompute_sim.scenario import Scenario, concretise
from dcompute_sim.scenario.semantics import complaints
from dcompute_sim.shrink import reductions
from dcompute_sim.shrink.failure import Failure, failures
from dcompute_sim.shrink.pinning import pinned
from dcompute_sim.trace import Event

MAX_RUNS = 400


class NothingToShrink(ValueError):
    """The run does not fail, or its failure is none that a scenario can hold; the message says why."""


@dataclass(frozen=True)
class ShrinkTrial:
    """A candidate and how it is run.

    Attributes:
        control: with nobody a mutant it must not fail the same.
        seeds: under how many it is tried; it counts if it fails under any of them.
    """

    scenario: Scenario
    options: RunOptions
    failure: Failure
    control: bool
    seeds: int = 1


@dataclass(frozen=True)
class TrialResult:
    """What came of a trial. `seed`: with which it failed the same; None when it did not."""

    seed: int | None
    runs: int
    cpu_s: float


@dataclass
class Shrunk:
    """The outcome. `runs`, `cpu_s`: what it took, the first run included."""

    original: Scenario
    scenario: Scenario
    failure: Failure
    options: RunOptions
    runs: int = 1
    cpu_s: float = 0.0
    steps: list[str] = field(default_factory=list)


def attempt(trial: ShrinkTrial) -> TrialResult:
    """Run a candidate under as many seeds as it takes; what a worker does."""
    began_s = time.process_time()
    runs = 0
    seeds, text = [trial.scenario.seed], str(trial.scenario.seed)
    while len(seeds) < trial.seeds:
        text = hashlib.sha256(text.encode()).hexdigest()
        seeds.append(int(text[:7], 16))
    for seed in seeds:
        runs += 1
        if not _fails_alike(trial, replace(trial.options, seed=seed)):
            continue
        if trial.control:
            runs += 1
            if _fails_alike(trial, replace(trial.options, seed=seed, mutants=()), healthy(trial.scenario)):
                break  # with any program
        return TrialResult(seed, runs, time.process_time() - began_s)
    return TrialResult(None, runs, time.process_time() - began_s)


def healthy(scenario: Scenario) -> Scenario:
    """Return the scenario with nobody a mutant."""
    fleet = {name: group.model_copy(update={"variant": None}) for name, group in scenario.fleet.items()}
    master = scenario.master.model_copy(update={"variant": None})
    return scenario.model_copy(update={"fleet": fleet, "master": master})


def _fails_alike(trial: ShrinkTrial, options: RunOptions, scenario: Scenario | None = None) -> bool:
    try:
        verdict = run_scenario(scenario or trial.scenario, options).verdict
    except (EngineError, BrokerError, ValueError):
        return False  # cannot be run like this
    return any(trial.failure.same_as(found) for found in failures(verdict))


class Search:
    """Shrinks one failing run.

    Args:
        executor: where candidates are run side by side; here, one after the other, when None.
        width: how many candidates are run at the same time.
        on_step: told of each step in words.
    """

    def __init__(
        self,
        scenario: Scenario,
        options: RunOptions,
        *,
        max_runs: int = MAX_RUNS,
        executor: Executor | None = None,
        width: int = 1,
        on_step: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._options = options
        self._max_runs = max_runs
        self._executor = executor
        self._width = width if executor is not None else 1
        self._on_step = on_step
        self._original = concretise(scenario, options.seed)
        self._in_vain: dict[str, int] = {}  # candidates that did not fail, under so many dice

    def run(self) -> Shrunk:
        """Shrink. Raises NothingToShrink, and whatever `run_scenario` raises."""
        if planned(self._original, self._options).time != "virtual":
            raise NothingToShrink("in real time no run repeats to the byte: shrink with --target sim")
        began_s = time.process_time()
        outcome = run_scenario(self._original, replace(self._options, sink=None, listeners=(), pcap=None))
        events = list(outcome.trace.events)
        failure, check = self._first(failures(outcome.verdict), self._original.expect)
        scenario = self._original.model_copy(update={"expect": [check]})
        self._done = Shrunk(self._original, scenario, failure, self._options)
        self._done.cpu_s = time.process_time() - began_s
        self._tell(f"{failure.label}: {failure.summary}")
        self._control = self._shows_the_mutant(scenario)
        scenario = self._pin(scenario, events)
        for reduce, dice in reductions.in_order(failure.about, failure.at_s):
            scenario = self._reduce(scenario, reduce, dice)
        self._done.scenario = scenario
        return self._done

    def _first(self, found: Sequence[Failure], expect: Sequence[Check]) -> tuple[Failure, Check]:
        if not found:
            raise NothingToShrink("this run did not fail: there is nothing to shrink")
        by_label = {label_of(check): check for check in expect}
        for failure in found:
            if failure.label in by_label:
                return failure, by_label[failure.label]
        raise NothingToShrink(f"what failed is no expectation of the scenario: {found[0].label}")

    def _shows_the_mutant(self, scenario: Scenario) -> bool:
        """Say whether there is a mutant, and without it the run does not fail the same."""
        sound = healthy(scenario)
        if sound == scenario and not self._options.mutants:
            return False
        self._done.runs += 1
        options = replace(self._options, seed=scenario.seed, mutants=())
        return not _fails_alike(ShrinkTrial(sound, options, self._done.failure, False), options)

    def _pin(self, scenario: Scenario, events: list[Event]) -> Scenario:
        """Write down what was drawn, of all faults at once, else of each that can be."""
        whole = self._try([pinned(scenario, events)], reductions.MANY, control=False)
        if whole is not None:
            return whole
        for entry in [fault.id or "" for fault in scenario.faults]:
            one = pinned(scenario, events, only=[entry])
            scenario = self._try([one], reductions.MANY, control=False) or scenario
        return scenario

    def _reduce(self, scenario: Scenario, reduce: reductions.Reduce, dice: reductions.Dice) -> Scenario:
        before = scenario
        proposals = reduce(scenario)
        chosen: Scenario | None = None
        try:
            alternatives = next(proposals)
            while True:
                chosen = self._try([option for option in alternatives if not complaints(option)], dice)
                scenario = chosen or scenario
                alternatives = proposals.send(chosen)
        except StopIteration:
            pass
        if scenario != before:
            self._tell(f"{reduce.__name__.replace('_', ' ')}: {size(scenario)}")
        return scenario

    def _try(
        self, alternatives: Sequence[Scenario], dice: reductions.Dice, control: bool | None = None
    ) -> Scenario | None:
        """Find the first of these that still fails. Those after it are not counted: the outcome must not
        depend on the number of processes."""
        untried = {
            text: option
            for option in alternatives
            if self._in_vain.get(text := option.model_dump_json(by_alias=True), 0) < dice.of(option)
        }
        keys, alternatives = list(untried), list(untried.values())
        for start in range(0, len(alternatives), self._width):
            if self._done.runs >= self._max_runs:
                return None
            batch = alternatives[start : start + self._width]
            controlled = self._control if control is None else control
            trials = [
                ShrinkTrial(option, self._options, self._done.failure, controlled, dice.of(option))
                for option in batch
            ]
            if self._executor is None:
                results = [attempt(trial) for trial in trials]
            else:
                futures = [self._executor.submit(attempt, trial) for trial in trials]
                results = [future.result() for future in futures]
            for key, option, result in zip(keys[start:], batch, results, strict=False):
                self._done.runs += result.runs
                self._done.cpu_s += result.cpu_s
                if result.seed is not None:
                    return option.model_copy(update={"seed": result.seed})
                self._in_vain[key] = dice.of(option)
        return None

    def _tell(self, step: str) -> None:
        self._done.steps.append(step)
        self._on_step(step)


def size(scenario: Scenario) -> str:
    """Tell how much is left, in words."""
    counts = {
        "fault": len(scenario.faults),
        "node": len(scenario.nodes()),
        "stream": len(scenario.workload),
    }
    return ", ".join(f"{count} {word}{'' if count == 1 else 's'}" for word, count in counts.items())
