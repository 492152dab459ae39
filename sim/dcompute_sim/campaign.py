"""Many seeds of one scenario, through any `concurrent.futures.Executor`, and the verdict on all of them.

Seeds travel in chunks, so that what a chunk costs (a message, the scenario) is shared by many; only a few
chunks a worker are under way at a time, so that stopping early stops soon. What comes back of a seed is
small: its verdict in words, and which faults met which states.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from dcompute_sim.checks.check import CheckOutcome, Status, failed
from dcompute_sim.checks.coverage import Coverage, coverage
from dcompute_sim.checks.verdict import EXIT_STATUS, Result, Verdict
from dcompute_sim.mutants import MutantError
from dcompute_sim.run import BrokerError, EngineError, RunOptions, run_scenario
from dcompute_sim.scenario import Scenario

MAX_DEATHS = 3  # of workers, with no result in between, before it is called the scenario's fault
_LARGEST_CHUNK = 25  # about half a second of work: what a worker that dies loses, and what stopping waits for
_CHUNKS_A_WORKER = 3  # under way: one at work, the others waiting, so that no worker waits for us
_one_run = threading.Lock()  # paho's clock is one for the whole process


class CampaignError(RuntimeError):
    """The campaign cannot go on; the message says why."""


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
class Campaign:
    """The results so far, of as many seeds as were `planned`.

    A campaign ends like its worst run: a seed that left something untested leaves the campaign undecided, for
    what that seed had drawn, no other seed has tried.
    """

    planned: int
    results: list[SeedResult] = field(default_factory=list)

    def of(self, status: Status) -> list[SeedResult]:
        """The results with this status, by seed."""
        found = [result for result in self.results if result.verdict.status is status]
        return sorted(found, key=lambda result: result.seed)

    def tallies(self) -> dict[str, Tally]:
        """How each expectation fared, by its label."""
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
        """Which faults met nodes in which states, over all seeds."""
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
    """Without events and samples: what travels."""
    results = (
        replace(result, outcome=CheckOutcome(result.outcome.status, result.outcome.summary))
        for result in verdict.results
    )
    return Verdict(tuple(results), ())


def run_chunk(job: Job, seeds: Sequence[int]) -> list[SeedResult]:
    """What a worker does; one at a time in a process, however many threads a cluster gives it."""
    with _one_run:
        return [run_seed(job, seed) for seed in seeds]


def run_campaign(
    job: Job,
    seeds: Sequence[int],
    make_executor: Callable[[], AbstractContextManager[Executor]],
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
        CampaignError: workers die again and again.
    """
    campaign = Campaign(len(seeds))
    left = _chunks(seeds, workers)
    deaths = 0
    while left:
        try:
            with make_executor() as executor:
                for results in _through(executor, job, left, workers):
                    deaths = 0
                    campaign.results += results
                    on_progress(campaign)
                    if fail_fast and any(result.verdict.status is Status.FAILED for result in results):
                        return campaign
        except BrokenExecutor:
            deaths += 1
            if deaths == MAX_DEATHS:
                raise CampaignError(
                    f"workers died {MAX_DEATHS} times without a result, from seed {left[0][0]} on "
                    "(out of memory? fewer --jobs)"
                ) from None
    return campaign


def _chunks(seeds: Sequence[int], workers: int) -> list[Sequence[int]]:
    """The seeds in order, in chunks small enough for every worker to have several."""
    size = max(1, min(_LARGEST_CHUNK, len(seeds) // (4 * workers)))
    return [seeds[at : at + size] for at in range(0, len(seeds), size)]


def _through(
    executor: Executor, job: Job, left: list[Sequence[int]], workers: int
) -> Iterator[list[SeedResult]]:
    """Results in the order in which chunks finish; `left` keeps what has not."""
    under_way: dict[Future[list[SeedResult]], Sequence[int]] = {}
    waiting = iter(list(left))
    while True:
        while len(under_way) < _CHUNKS_A_WORKER * workers and (chunk := next(waiting, None)) is not None:
            under_way[executor.submit(run_chunk, job, chunk)] = chunk
        if not under_way:
            return
        finished, _ = wait(under_way, return_when=FIRST_COMPLETED)
        for future in finished:
            results = future.result()
            left.remove(under_way.pop(future))
            yield results


def parse_seeds(text: str) -> range:
    """`1..1000`, both ends included.

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
