"""Many seeds of one scenario, through any `concurrent.futures.Executor`, and the verdict on all of them.

Seeds travel in chunks, so that what a chunk costs (a message, the scenario) is shared by many. What comes
back of a seed is small: its verdict in words, and which faults met which states.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from dcompute_sim.checks.check import CheckOutcome, Status, failed
from dcompute_sim.checks.coverage import Coverage, coverage
from dcompute_sim.checks.verdict import EXIT_STATUS, Result, Verdict
from dcompute_sim.executors import MakeExecutor, side_by_side
from dcompute_sim.mutants import MutantError
from dcompute_sim.run import BrokerError, EngineError, RunOptions, run_scenario
from dcompute_sim.scenario import Scenario

_DIFFERS = re.compile(r"\b[\w./-]*\d[\w.,/-]*")  # a number, or a name with one: py-3, 12.5
_SEVERAL = re.compile(r"#(?:(?:,| and) #)+")
_COUNTED = re.compile(r"(# [a-z]+?)s?\b")  # one or more
_LARGEST_CHUNK = 25  # about half a second of work: what a worker that dies loses, and what stopping waits for
one_run = threading.Lock()  # paho's clock is one for the whole process


@dataclass(frozen=True)
class Job:
    """What is run with every seed."""

    scenario: Scenario
    options: RunOptions


@dataclass(frozen=True)
class SeedResult:
    """What one seed showed. `hits`: how often each kind of fault met a node in each state."""

    seed: int
    verdict: Verdict
    hits: Counter[tuple[str, str]] = field(default_factory=Counter)


@dataclass
class Tally:
    """How one expectation fared: the seeds by its outcome, in order."""

    seeds: dict[Status, list[int]] = field(default_factory=lambda: {status: [] for status in Status})

    @property
    def status(self) -> Status:
        """Failed by one failure; else undecided by one seed that left it so."""
        for status in (Status.FAILED, Status.INCONCLUSIVE):
            if self.seeds[status]:
                return status
        return Status.HELD


@dataclass
class Untested:
    """One expectation that some seeds left undecided for one reason. `why`: in the words of the first."""

    label: str
    why: str
    seeds: list[int] = field(default_factory=list)


def kind_of_reason(why: str) -> str:
    """Return a reason without what differs from seed to seed: who it was, when, and how many."""
    return _COUNTED.sub(r"\1", _SEVERAL.sub("#", _DIFFERS.sub("#", why)))


@dataclass
class Campaign:
    """The results so far, of as many seeds as were `planned`.

    A campaign ends like its worst run: a seed that left something untested leaves the campaign undecided, for
    what that seed had drawn, no other seed has tried.
    """

    planned: int
    results: list[SeedResult] = field(default_factory=list)

    def of(self, status: Status) -> list[SeedResult]:
        """Return the results with this status, by seed."""
        found = [result for result in self.results if result.verdict.status is status]
        return sorted(found, key=lambda result: result.seed)

    def undecided(self) -> list[Untested]:
        """Return what was left untested, by expectation and reason, the most frequent first."""
        groups: dict[tuple[str, str], Untested] = {}
        for seed_result in sorted(self.results, key=lambda result: result.seed):
            for result in seed_result.verdict.of(Status.INCONCLUSIVE):
                why = result.outcome.summary
                group = groups.setdefault((result.label, kind_of_reason(why)), Untested(result.label, why))
                group.seeds.append(seed_result.seed)
        return sorted(groups.values(), key=lambda group: (-len(group.seeds), group.seeds[0]))

    def tallies(self) -> dict[str, Tally]:
        """Tell how each expectation fared, by its label."""
        tallies: dict[str, Tally] = {}
        for seed_result in sorted(self.results, key=lambda result: result.seed):
            for result in seed_result.verdict.results:
                tally = tallies.setdefault(result.label, Tally())
                tally.seeds[result.outcome.status].append(seed_result.seed)
        return tallies

    @property
    def status(self) -> Status:
        """Failed if anything failed with any seed; inconclusive if any seed left something untested."""
        found = {tally.status for tally in self.tallies().values()}
        if Status.FAILED in found:
            return Status.FAILED
        return Status.INCONCLUSIVE if Status.INCONCLUSIVE in found or not found else Status.HELD

    @property
    def exit_status(self) -> int:
        """0 all held, 1 one failed, 2 inconclusive."""
        return EXIT_STATUS[self.status]

    def coverage(self) -> Coverage:
        """Return which faults met nodes in which states, over all seeds."""
        hits: Counter[tuple[str, str]] = Counter()
        for result in self.results:
            hits.update(result.hits)
        return Coverage(hits, len(self.results))


def run_seed(job: Job, seed: int) -> SeedResult:
    """Run and judge one seed. A crash of the code under test is a finding, not the end of the campaign."""
    try:
        outcome = run_scenario(job.scenario, replace(job.options, seed=seed))
    except (EngineError, BrokerError, MutantError):
        raise  # no seed can be run like this
    except Exception as error:
        told = failed(f"ended by {type(error).__name__}: {error}", ())
        return SeedResult(seed, Verdict((Result("run", "The run ends.", "", told),), ()))
    return SeedResult(seed, _in_words(outcome.verdict), coverage([outcome.trace.events]).hits)


def _in_words(verdict: Verdict) -> Verdict:
    """Return it without events and samples: what travels."""
    results = (
        replace(result, outcome=CheckOutcome(result.outcome.status, result.outcome.summary), check=None)
        for result in verdict.results
    )
    return Verdict(tuple(results), ())


def run_chunk(job: Job, seeds: Sequence[int]) -> list[SeedResult]:
    """Run some seeds, as a worker does; one at a time in a process, however many threads a cluster gives
    it."""
    with one_run:
        return [run_seed(job, seed) for seed in seeds]


def run_campaign(
    job: Job,
    seeds: Sequence[int],
    make_executor: MakeExecutor,
    workers: int,
    *,
    fail_fast: bool = False,
    on_progress: Callable[[Campaign], None] = lambda campaign: None,
) -> Campaign:
    """Run all seeds, or until one failed if `fail_fast`.

    Args:
        make_executor: gives the executor; asked again when a worker's death broke it.
        workers: how many chunks can be at work at the same time.
        on_progress: told after every chunk.

    Raises:
        EngineError, BrokerError, MutantError: the scenario cannot be run like this.
        WorkersError: workers die again and again.
    """
    campaign = Campaign(len(seeds))
    chunks = _chunks(seeds, workers)
    for results in side_by_side(make_executor, run_chunk, job, chunks, workers, _first_seed):
        campaign.results += results
        on_progress(campaign)
        if fail_fast and any(result.verdict.status is Status.FAILED for result in results):
            break
    return campaign


def _first_seed(chunk: Sequence[int]) -> str:
    return f"seed {chunk[0]}"


def _chunks(seeds: Sequence[int], workers: int) -> list[Sequence[int]]:
    """Return the seeds in order, in chunks small enough for every worker to have several."""
    size = max(1, min(_LARGEST_CHUNK, len(seeds) // (4 * workers)))
    return [seeds[at : at + size] for at in range(0, len(seeds), size)]


def parse_seeds(text: str) -> range:
    """Read `1..1000`, both ends included.

    Raises:
        ValueError: the message says what is allowed.
    """
    first, _, last = text.partition("..")
    try:
        seeds = range(int(first), int(last) + 1)
    except ValueError:
        raise ValueError(f"seeds are written as 1..1000, not {text!r}") from None
    if not seeds or seeds[0] < 0:
        raise ValueError(f"there are no seeds in {text!r}: write the smaller one first, from 0 up")
    return seeds
