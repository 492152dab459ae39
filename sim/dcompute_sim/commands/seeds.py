"""`dcompute run --seeds`: many seeds side by side, on this machine or on a cluster."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console

from dcompute_sim.campaign import Campaign, Job, run_campaign
from dcompute_sim.checks.check import Status
from dcompute_sim.commands.select import SelectedScenario
from dcompute_sim.commands.shrink_command import shrink_and_tell
from dcompute_sim.commands.status import FAILED, HELD, INVALID
from dcompute_sim.executors import dask_cluster, dask_workers, default_jobs, local_processes
from dcompute_sim.report.campaign_report import ProgressLine, print_campaign
from dcompute_sim.report.run_report import replay_command
from dcompute_sim.run import RunOptions, planned


def run_seeds(
    entries: Sequence[SelectedScenario],
    options: RunOptions,
    seeds: Sequence[int],
    console: Console,
    *,
    jobs: int | None,
    on: str | None,
    fail_fast: bool,
    shrink: bool = False,
) -> int:
    """Run and report a campaign for each scenario; the exit status of all of them."""
    workers = dask_workers(on) if on else jobs or default_jobs()
    make_executor = functools.partial(dask_cluster, on) if on else functools.partial(local_processes, workers)
    statuses = set()
    for entry in entries:
        own = replace(options, reference=entry.reference, variation=entry.variation)
        began_s = time.perf_counter()
        line = ProgressLine(sys.stderr, time.perf_counter)
        try:
            campaign = run_campaign(
                Job(entry.scenario, own),
                seeds,
                make_executor,
                workers,
                fail_fast=fail_fast,
                on_progress=line.on_progress,
            )
        finally:
            line.clear()
        _print(console, entry, own, campaign, time.perf_counter() - began_s)
        statuses.add(campaign.exit_status)
        if shrink and (failing := campaign.of(Status.FAILED)):
            shrink_and_tell(entry.scenario, replace(own, seed=failing[0].seed), console.print, jobs=jobs or 1)
    return FAILED if FAILED in statuses else INVALID if INVALID in statuses else HELD


def _print(
    console: Console, entry: SelectedScenario, options: RunOptions, campaign: Campaign, took_s: float
) -> None:
    def replay(seed: int) -> str:
        return replay_command(planned(entry.scenario, replace(options, seed=seed)))

    print_campaign(console, entry.scenario.name, campaign, replay, took_s)
