"""Where many runs are done side by side: processes of this machine, or the workers of a Dask cluster.

Work travels in chunks, only a few a worker at a time, so that stopping early stops soon. Results are given in
the order of the chunks, whichever worker was quicker: so what is decided by them (a hunt's next runs) depends
on the number of workers, and never on how fast they are.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from dcompute.extras import install_command
from dcompute_sim.worker_processes import WorkerProcesses

CONNECT_S = 10.0
"""How long a Dask scheduler may take to answer before there is none."""

MAX_DEATHS = 3
"""Of workers, with no result in between, before it is called the work's fault."""

MakeExecutor = Callable[[], AbstractContextManager[Executor]]
J = TypeVar("J")
C = TypeVar("C")
R = TypeVar("R")
_CHUNKS_A_WORKER = 3  # under way: one at work, the others waiting, so that no worker waits for us


class WorkersError(RuntimeError):
    """There is nobody to do the work, or they die of it; the message says why."""


def side_by_side(
    make_executor: MakeExecutor,
    work: Callable[[J, C], R],
    job: J,
    chunks: Iterable[C],
    workers: int,
    name: Callable[[C], str],
) -> Iterator[R]:
    """Do `work(job, chunk)` with each chunk; the results in their order. What a worker had that died is done
    again.

    Args:
        make_executor: gives the executor; asked again when a worker's death broke it.
        chunks: taken only as workers get free, so what they are may depend on earlier results.
        workers: how many can be at work at the same time.
        name: of a chunk, in an error's words.

    Raises:
        WorkersError: workers die again and again.
    """
    waiting = iter(chunks)
    left: deque[C] = deque()  # handed out, and without a result
    deaths = 0
    while True:
        try:
            with make_executor() as executor:
                futures: deque[Future[R]] = deque(executor.submit(work, job, chunk) for chunk in left)
                while True:
                    while len(left) < _CHUNKS_A_WORKER * workers:
                        try:
                            left.append(next(waiting))
                        except StopIteration:
                            break
                        futures.append(executor.submit(work, job, left[-1]))
                    if not left:
                        return
                    result = futures[0].result()
                    futures.popleft()
                    left.popleft()
                    deaths = 0
                    yield result
        except BrokenExecutor:
            deaths += 1
            if deaths == MAX_DEATHS:
                raise WorkersError(
                    f"workers died {MAX_DEATHS} times without a result, from {name(left[0])} on "
                    "(out of memory? fewer --jobs)"
                ) from None


def default_jobs() -> int:
    """Return one process for each core this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


@contextlib.contextmanager
def local_processes(jobs: int, *, nice: bool = False) -> Iterator[Executor]:
    """Yield processes of this machine. What they are at is ended when this is left by an error or an
    interrupt.

    Args:
        nice: they give way to whatever else wants the processor.
    """
    executor = WorkerProcesses(jobs, nice=nice)
    try:
        yield executor
        executor.shutdown(wait=True, cancel_futures=True)
    finally:
        executor.end()


@contextlib.contextmanager
def dask_cluster(address: str) -> Iterator[Executor]:
    """Yield the workers of a Dask cluster, which gives the work of a worker that died to another one."""
    with _dask_client(address) as client:
        from distributed import KilledWorker

        try:
            yield client.get_executor(pure=False)
        except KilledWorker as error:  # several workers died of the same chunk
            raise BrokenExecutor(str(error)) from None


def dask_workers(address: str) -> int:
    """Tell how many worker processes the cluster has.

    Raises:
        WorkersError: there is no cluster, or it has no workers.
    """
    with _dask_client(address) as client:
        workers = len(client.nthreads())
    if not workers:
        raise WorkersError(f"the cluster at {address} has no workers; start some: dask worker {address}")
    return workers


def _dask_client(address: str) -> Any:
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise WorkersError(f"--on needs Dask: {install_command('cluster')}") from None
    make: Any = Client
    try:
        return make(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise WorkersError(f"no Dask scheduler at {address}: {error}") from None
