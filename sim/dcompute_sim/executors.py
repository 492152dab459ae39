"""Where a campaign's seeds are run: processes of this machine, or the workers of a Dask cluster."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor
from typing import Any

from dcompute.extras import install_command
from dcompute_sim.campaign import CampaignError

CONNECT_S = 10.0
"""How long a Dask scheduler may take to answer before there is none."""


def default_jobs() -> int:
    """One process for each core this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


@contextlib.contextmanager
def local_processes(jobs: int, *, nice: bool = False) -> Iterator[Executor]:
    """Processes of this machine, started anew rather than forked: a fork copies locks that threads hold.

    Args:
        nice: they give way to whatever else wants the processor.
    """
    executor = ProcessPoolExecutor(
        jobs, multiprocessing.get_context("spawn"), initializer=_give_way if nice else None
    )
    try:
        yield executor
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _give_way() -> None:
    if hasattr(os, "nice"):
        os.nice(10)


@contextlib.contextmanager
def dask_cluster(address: str) -> Iterator[Executor]:
    """The workers of a Dask cluster, which gives the work of a worker that died to another one."""
    with _dask_client(address) as client:
        from distributed import KilledWorker

        try:
            yield client.get_executor(pure=False)
        except KilledWorker as error:  # several workers died of the same chunk
            raise BrokenExecutor(str(error)) from None


def dask_workers(address: str) -> int:
    """How many worker processes the cluster has.

    Raises:
        CampaignError: there is no cluster, or it has no workers.
    """
    with _dask_client(address) as client:
        workers = len(client.nthreads())
    if not workers:
        raise CampaignError(f"the cluster at {address} has no workers; start some: dask worker {address}")
    return workers


def _dask_client(address: str) -> Any:
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise CampaignError(f"--on needs Dask: {install_command('cluster')}") from None
    make: Any = Client
    try:
        return make(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise CampaignError(f"no Dask scheduler at {address}: {error}") from None
