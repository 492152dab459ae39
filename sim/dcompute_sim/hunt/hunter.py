"""Decides what to run next, and takes in what it showed: the search itself, without a clock or a process."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field

from dcompute_sim.checks.check import Status
from dcompute_sim.hunt.corpus import Corpus, Entry
from dcompute_sim.hunt.estimate import Estimate
from dcompute_sim.hunt.features import STEP, Feature
from dcompute_sim.hunt.moments import Moment
from dcompute_sim.hunt.mutation import Breeder
from dcompute_sim.hunt.promise import Promise, of_fresh
from dcompute_sim.hunt.sense import is_sensible
from dcompute_sim.scenario import Scenario, Swarm, concretise
from dcompute_sim.scenario.entry_ids import with_ids
from dcompute_sim.shrink.failure import Failure

_FIRST = 16  # runs, all fresh: what one condition shows, they show as soon as any seeds do
_DRAWN = 3  # seeds for each of these, of which one is run
_DRAFTS = 4  # children of each two parents, of which likewise
_SEEDS = 2**31


class NothingToHunt(ValueError):
    """The scenario has no ranges to search in; the message says what it needs."""


@dataclass(frozen=True)
class HuntTrial:
    """A run to be done.

    Attributes:
        number: counted from 1.
        families: of fresh runs that it was bred from; empty for a fresh one and for one that was given.
    """

    number: int
    scenario: Scenario
    families: Set[int] = frozenset()
    given: bool = False


@dataclass(frozen=True)
class Shown:
    """What a run showed.

    Attributes:
        scenario: that it is a run of: the trial's, without faults that had no occasion.
        failures: empty unless it failed.
        events: how many; what it cost.
        hits: how often each kind of fault met a node in each state.
    """

    scenario: Scenario
    status: Status
    failures: Sequence[Failure]
    features: Set[Feature]
    events: int
    moments: Sequence[Moment]
    hits: Counter[tuple[str, str]]


@dataclass
class Finding:
    """A run that failed as none before it.

    Attributes:
        failure: the first that was new.
        others: what else did not hold in it.
        times: how many runs failed alike.
    """

    number: int
    scenario: Scenario
    failure: Failure
    others: Sequence[Failure] = ()
    times: int = 1


@dataclass
class Hunt:
    """One search.

    Args:
        scenario: with `random`, whose ranges are searched.
        seed: of the hunt: what it tries follows from it.
        given: explicit scenarios of an earlier hunt, run first.

    Raises:
        NothingToHunt: the scenario has no `random`.
    """

    scenario: Scenario
    seed: int = 1
    given: Sequence[Scenario] = ()
    corpus: Corpus = field(default_factory=Corpus)
    steps: Estimate = field(default_factory=Estimate)
    anything: Estimate = field(default_factory=Estimate)
    findings: list[Finding] = field(default_factory=list)
    hits: Counter[tuple[str, str]] = field(default_factory=Counter)
    runs: int = 0
    undecided: int = 0
    failed: int = 0
    newest_step: int = 0

    def __post_init__(self) -> None:
        swarm = self.scenario.random
        if swarm is None:
            raise NothingToHunt(
                f"{self.scenario.name} draws nothing: a hunt searches within the ranges of `random:` "
                "(the scenarios `swarm` and `swarm_boards` have one)"
            )
        fixed = with_ids(self.scenario.faults, "fault"), with_ids(self.scenario.workload, "t")
        names = {entry.id or "" for entries in fixed for entry in entries} | {
            *self.scenario.fleet,
            *self.scenario.masters,
        }
        self._rng = random.Random(f"{self.seed}/hunt")
        self._swarm, self._fixed = swarm, names
        self._breeder = Breeder(swarm, names, self._rng)
        adopted = [self._adopted(one, swarm) for one in self.given]
        self._waiting = [one for one in adopted if is_sensible(one, swarm, names)]
        self.refused = len(self.given) - len(self._waiting)
        self._numbers = 0
        self._promise = Promise()
        self._costs = {bred: _Mean() for bred in (False, True)}

    def next(self) -> HuntTrial:
        """Return what to run now: those given, some fresh seeds, then these and bred runs at equal cost."""
        self._numbers += 1
        if self._waiting:
            return HuntTrial(self._numbers, self._waiting.pop(0), given=True)
        if self._numbers <= _FIRST or not self.corpus.entries or self._rng.random() < self._fresh_share():
            drawn = [self._rng.randrange(_SEEDS) for _ in range(1 if self._numbers <= _FIRST else _DRAWN)]
            return HuntTrial(
                self._numbers, max((concretise(self.scenario, seed) for seed in drawn), key=of_fresh)
            )
        parent, other = (self.corpus.choose(self._rng) for _ in range(2))
        drafts = [self._breeder.breed(parent, other) for _ in range(_DRAFTS)]
        bred = max(drafts, key=self._promise.of_bred)
        return HuntTrial(self._numbers, bred, parent.families | other.families)

    def take(self, trial: HuntTrial, shown: Shown) -> Entry | None:
        """Take in what a run showed; what was kept of it, if anything."""
        self.runs += 1
        self._costs[bool(trial.families)].add(shown.events)
        self.hits.update(shown.hits)
        if shown.status is Status.INCONCLUSIVE:
            self.undecided += 1
            return None
        self._promise.take(shown.features)
        self._estimate(trial, shown.features)
        news = self.corpus.news(shown.features)
        if any(feature[0] == STEP for feature in news):
            self.newest_step = self.runs
        if shown.status is Status.FAILED:
            self.failed += 1
            self._found(trial, shown.failures)
            return None
        if not news or not is_sensible(shown.scenario, self._swarm, self._fixed):
            return None
        families = trial.families or frozenset([trial.number])
        entry = Entry(shown.scenario, news, shown.events, shown.moments, families)
        self.corpus.keep(entry)
        return entry

    def _fresh_share(self) -> float:
        """Tell which share of the runs are fresh, so that both sorts cost the same on average."""
        fresh, bred = self._costs[False].mean, self._costs[True].mean
        return bred / (fresh + bred)

    def shown(self, level: str) -> int:
        """Tell how many different features of a level have been seen."""
        return sum(feature[0] == level for feature in self.corpus.shown)

    def _adopted(self, one: Scenario, swarm: Swarm) -> Scenario:
        """Return a scenario of an earlier hunt, with what this one's says besides its ranges."""
        keys = ["seed", "fleet", "masters", "workload", "faults", "network"]
        if not self.scenario.namespace and one.namespace in swarm.namespaces:
            keys.append("namespace")
        whole = concretise(self.scenario)
        return whole.model_copy(update={key: getattr(one, key) for key in keys})

    def _estimate(self, trial: HuntTrial, shown: Iterable[Feature]) -> None:
        steps = [feature for feature in shown if feature[0] == STEP]
        for estimate, features in ((self.steps, steps), (self.anything, shown)):
            if trial.families:
                estimate.bred(trial.families, features)
            elif not trial.given:
                estimate.fresh(trial.number, features)
            else:
                estimate.given(features)

    def _found(self, trial: HuntTrial, failures: Sequence[Failure]) -> None:
        known = [next((one for one in self.findings if _shows(one, failure)), None) for failure in failures]
        for failure, alike in zip(failures, known, strict=True):
            if alike is None:
                others = [other for other in failures if other is not failure]
                self.findings.append(Finding(trial.number, trial.scenario, failure, others))
                return
        for finding in self.findings:
            finding.times += any(finding is alike for alike in known)


@dataclass
class _Mean:
    """Of what was added; one while there is nothing."""

    sum: int = 0
    count: int = 0

    def add(self, value: int) -> None:
        self.sum += value
        self.count += 1

    @property
    def mean(self) -> float:
        return self.sum / self.count if self.count else 1.0


def _shows(finding: Finding, failure: Failure) -> bool:
    return any(known.same_as(failure) for known in (finding.failure, *finding.others))
