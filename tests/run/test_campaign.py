"""Many seeds: through processes, with workers that die, and on a Dask cluster."""

from __future__ import annotations

import contextlib
import functools
import io
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager
from typing import Any

import pytest
from dcompute_sim.campaign import (
    Campaign,
    Job,
    SeedResult,
    parse_seeds,
    run_campaign,
    run_seed,
)
from dcompute_sim.checks.check import CheckOutcome, Status
from dcompute_sim.checks.verdict import Result, Verdict
from dcompute_sim.executors import WorkersError, dask_cluster, dask_workers, default_jobs, local_processes
from dcompute_sim.report.campaign_report import ProgressLine, print_campaign, progress
from dcompute_sim.run import EngineError, RunOptions
from dcompute_sim.scenario import Scenario
from dcompute_sim.terminal import make_console


class Inline(Executor):
    """Does the work at once, in this process; remembers what it was given."""

    def __init__(self, failing: int = 0) -> None:
        self.chunks: list[list[int]] = []
        self.failing = failing

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.chunks.append(list(args[1]))
        if self.failing:
            self.failing -= 1
            from concurrent.futures import BrokenExecutor

            future.set_exception(BrokenExecutor("a worker died"))
            return future
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def inline(executor: Inline) -> Callable[[], AbstractContextManager[Executor]]:
    return lambda: contextlib.nullcontext(executor)


def job(scenario: Scenario, *mutants: str) -> Job:
    return Job(scenario, RunOptions(reference="small", mutants=mutants))


def result(seed: int, **outcomes: str) -> SeedResult:
    results = tuple(
        Result(name, "", "", CheckOutcome(Status(status), f"{name} of {seed}"))
        for name, status in outcomes.items()
    )
    return SeedResult(seed, Verdict(results, ()))


def words(campaign: Campaign) -> dict[int, list[str]]:
    return {r.seed: [x.outcome.summary for x in r.verdict.results] for r in campaign.results}


def test_every_seed_is_run_once_whatever_carries_it(small: Scenario) -> None:
    seeds = range(3, 33)
    here = run_campaign(job(small), seeds, inline(Inline()), workers=2)
    processes = run_campaign(job(small), seeds, functools.partial(local_processes, 2), workers=2)
    assert sorted(words(here)) == list(seeds)
    assert words(processes) == words(here)
    assert processes.coverage() == here.coverage()
    assert here.status is Status.HELD
    assert here.coverage().hits.total() > 0


def test_a_seed_gives_what_it_gives_alone(small: Scenario) -> None:
    campaign = run_campaign(job(small), range(1, 9), inline(Inline()), workers=1)
    alone = run_seed(job(small), 7)
    assert words(campaign)[7] == [r.outcome.summary for r in alone.verdict.results]


def test_a_mutant_is_found_and_the_lowest_seed_named(small: Scenario) -> None:
    campaign = run_campaign(job(small, "no-will"), range(1, 13), inline(Inline()), workers=2)
    assert campaign.exit_status == 1
    lowest = campaign.of(Status.FAILED)[0]
    out = io.StringIO()
    print_campaign(make_console("plain", out), "small", campaign, lambda seed: f"again {seed}", 2.0)
    assert f"Lowest failing seed: {lowest.seed}\n  dead_within (bound: 3s): " in out.getvalue()
    assert f"Again: again {lowest.seed}\n" in out.getvalue()
    assert "12 seeds in 2 s, 6 a second" in out.getvalue()


def test_undecided_seeds_are_told_by_expectation_and_reason() -> None:
    """Also beside one that failed; what differs from seed to seed makes no other reason."""
    unseen = {
        2: "1 of 4 faults had no witness: py-3 was idle",
        5: "2 of 7 faults had no witness: py-1 and py-12 was idle",
        7: "1 of 1 fault had no witness: py-2 was idle",
        4: "nobody ran there",
    }
    undecided = [
        SeedResult(seed, Verdict((Result("seen", "", "", CheckOutcome(Status.INCONCLUSIVE, why)),), ()))
        for seed, why in unseen.items()
    ]
    campaign = Campaign(
        30, [*undecided, result(3, a="failed"), *(result(n, b="inconclusive") for n in range(10, 25))]
    )
    out = io.StringIO()
    print_campaign(make_console("plain", out), "small", campaign, lambda seed: f"again {seed}", 2.0)
    assert (
        "Undecided:\n"
        "  b: b of 10\n"
        "    15 seeds for this reason: 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, ...\n"
        "    Again: again 10\n"
        "  seen: 1 of 4 faults had no witness: py-3 was idle\n"
        "    3 seeds for this reason: 2, 5, 7\n"
        "    Again: again 2\n"
        "  seen: nobody ran there\n"
        "    1 seed for this reason: 4\n"
        "    Again: again 4\n"
    ) in out.getvalue()


def test_of_many_reasons_the_most_frequent_are_told() -> None:
    words = [letter * 3 for letter in "abcdefghijkl"]
    told = [
        SeedResult(seed, Verdict((Result("seen", "", "", CheckOutcome(Status.INCONCLUSIVE, word)),), ()))
        for seed, word in enumerate([*words, "lll"])
    ]
    out = io.StringIO()
    print_campaign(make_console("plain", out), "small", Campaign(13, told), lambda seed: f"again {seed}", 2.0)
    shown = [word for word in words if f"  seen: {word}\n" in out.getvalue()]
    assert shown == [*words[:9], "lll"]
    assert "  and 2 further reasons, of 2 seeds\n" in out.getvalue()


def test_fail_fast_ends_soon(small: Scenario) -> None:
    executor = Inline()
    campaign = run_campaign(
        job(small, "no-will"), range(1, 2001), inline(executor), workers=1, fail_fast=True
    )
    assert campaign.exit_status == 1
    assert len(campaign.results) < 200


def test_only_a_few_chunks_are_under_way(small: Scenario) -> None:
    """Else stopping early would wait for everything, and a campaign of millions would fill the memory."""
    waiting: list[Future[Any]] = []
    most = 0

    class Slow(Executor):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            nonlocal most
            future: Future[Any] = Future()
            waiting.append(future)
            most = max(most, sum(not f.done() for f in waiting))
            chunk = [result(seed, x="held") for seed in args[1]]
            threading.Timer(0.001, future.set_result, [chunk]).start()
            return future

    campaign = run_campaign(job(small), range(1, 1001), lambda: contextlib.nullcontext(Slow()), workers=2)
    assert len(campaign.results) == 1000
    assert most <= 6


def test_what_a_dead_worker_had_is_run_again(small: Scenario) -> None:
    executor = Inline(failing=2)
    campaign = run_campaign(job(small), range(1, 21), inline(executor), workers=1)
    assert sorted(words(campaign)) == list(range(1, 21))


def test_workers_that_die_again_and_again_end_it(small: Scenario) -> None:
    with pytest.raises(WorkersError, match=r"workers died 3 times without a result, from seed 1 on"):
        run_campaign(job(small), range(1, 21), inline(Inline(failing=10_000)), workers=1)


def test_a_killed_process_loses_no_seed(small: Scenario) -> None:
    """SIGKILL to a worker under way: the executor is broken, a new one does the rest."""
    executors: list[Executor] = []
    others = {child.pid for child in multiprocessing.active_children()}

    @contextlib.contextmanager
    def processes() -> Iterator[Executor]:
        with local_processes(2) as executor:
            executors.append(executor)
            yield executor

    def kill_one(campaign: Campaign) -> None:
        if len(executors) == 1 and not killed:
            killed.append(
                next(
                    pid
                    for child in multiprocessing.active_children()
                    if (pid := child.pid) not in others and pid
                )
            )
            os.kill(killed[0], signal.SIGKILL)

    killed: list[int] = []
    campaign = run_campaign(job(small), range(1, 81), processes, workers=2, on_progress=kill_one)
    assert len(executors) == 2
    assert sorted(words(campaign)) == list(range(1, 81))
    assert campaign.status is Status.HELD


def test_a_scenario_that_cannot_be_run_is_not_blamed_on_its_seeds(small: Scenario) -> None:
    impossible = Job(small, RunOptions(broker="mqtt://nowhere:1"))
    with pytest.raises(EngineError, match="virtual time has"):
        run_campaign(impossible, range(1, 5), inline(Inline()), workers=1)


def test_a_crash_of_the_code_under_test_is_a_finding(
    small: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: Any) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("dcompute_sim.campaign.run_scenario", broken)
    found = run_seed(job(small), 5)
    assert found.verdict.status is Status.FAILED
    assert found.verdict.results[0].outcome.summary == "ended by ZeroDivisionError: division by zero"


def test_a_result_is_small(small: Scenario) -> None:
    assert len(pickle.dumps(run_seed(job(small), 1))) < 4000


@pytest.mark.parametrize(
    ("results", "status"),
    [
        ([], 2),
        ([result(1, a="inconclusive")], 2),
        ([result(1, a="inconclusive"), result(2, a="held")], 2),  # it ends like such a run, and says so
        ([result(1, a="held"), result(2, a="held")], 0),
        ([result(1, a="held", b="inconclusive"), result(2, a="held", b="inconclusive")], 2),
        ([result(1, a="held"), result(2, a="failed"), result(3, a="inconclusive")], 1),
    ],
)
def test_exit_status(results: list[SeedResult], status: int) -> None:
    assert Campaign(len(results), results).exit_status == status


def test_progress() -> None:
    campaign = Campaign(1000, [result(1, a="failed"), *(result(seed, a="held") for seed in range(2, 101))])
    assert progress(campaign, 2.0) == "100/1,000 seeds, 50 a second, 18 s left, 1 failed"
    assert progress(Campaign(10), 0.0) == "0/10 seeds, 0 a second, starting, 0 failed"


def test_progress_is_for_terminals() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for out, shown in ((io.StringIO(), False), (Terminal(), True)):
        ProgressLine(out, iter([0.0, 1.0]).__next__).on_progress(Campaign(2, [result(1, a="held")]))
        assert ("1/2 seeds" in out.getvalue()) is shown


@pytest.mark.parametrize("text", ["", "1", "1..", "..5", "a..b", "5..4", "-3..4", "1...5", "1..2..3"])
def test_seeds_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="seeds"):
        parse_seeds(text)


def test_seeds() -> None:
    assert parse_seeds("0..3") == range(4)
    assert parse_seeds("7..7") == range(7, 8)


def test_default_jobs() -> None:
    assert 1 <= default_jobs() <= (os.cpu_count() or 1)


# --- a cluster -------------------------------------------------------------------------------------------


@pytest.fixture
def cluster() -> Iterator[Any]:
    from distributed import LocalCluster

    with LocalCluster(  # type: ignore[no-untyped-call]
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        host="127.0.0.1",
        silence_logs=50,
    ) as found:
        yield found


def test_a_cluster_loses_no_seed_when_a_worker_is_killed(cluster: Any, small: Scenario) -> None:
    """Twice the same report, once with a worker killed on the way."""
    address = cluster.scheduler_address
    assert dask_workers(address) == 2
    victim = next(iter(cluster.workers.values())).pid

    def kill(campaign: Campaign) -> None:
        if not killed:
            killed.append(victim)
            os.kill(victim, signal.SIGKILL)

    killed: list[int] = []
    make = functools.partial(dask_cluster, address)
    disturbed = run_campaign(job(small), range(1, 41), make, workers=2, on_progress=kill)
    here = run_campaign(job(small), range(1, 41), inline(Inline()), workers=1)
    assert killed
    assert words(disturbed) == words(here)
    assert disturbed.coverage() == here.coverage()


def test_a_cluster_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dcompute_sim.executors.CONNECT_S", 0.2)
    with pytest.raises(WorkersError, match=r"no Dask scheduler at tcp://127\.0\.0\.1:1"):
        dask_workers("tcp://127.0.0.1:1")


def test_dask_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(WorkersError, match=r"needs Dask: pip install .*\[cluster\]"):
        dask_workers("tcp://127.0.0.1:1")
