"""Worker processes that die at any moment, or are told to end: nobody waits for ever, nobody is left over."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future
from types import FrameType
from typing import Any

import pytest
from dcompute_sim import worker_processes
from dcompute_sim.executors import local_processes
from dcompute_sim.worker_processes import WorkerProcesses

from ..conftest import PATIENCE_S


def die_while_answering() -> bytes:
    """As soon as the first of an answer is written."""

    def kill(frame: FrameType, event: str, arg: object) -> Any:
        if frame.f_code.co_name == "_send" and frame.f_locals.get("n"):
            os.kill(os.getpid(), signal.SIGKILL)
        return kill

    sys.settrace(kill)
    return bytes(1_000_000)


def fail(what: str) -> None:
    raise LookupError(what)


def cannot_travel() -> Any:
    return lambda: None


def at_work(path: str) -> None:
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(PATIENCE_S)


@pytest.fixture
def worker() -> Iterator[WorkerProcesses]:
    executor = WorkerProcesses(1)
    yield executor
    executor.end()


def test_one_that_dies_in_the_middle_of_its_answer(worker: WorkerProcesses) -> None:
    """Killed for want of memory, mostly: the maker hears of it, and the next one does the rest."""
    dead: Future[Any] = worker.submit(die_while_answering)
    after = worker.submit(len, "four")
    with pytest.raises(BrokenExecutor, match="a worker process died"):
        dead.result(PATIENCE_S)
    assert after.result(PATIENCE_S) == 4
    refused = worker.submit(cannot_travel)
    with pytest.raises(Exception, match="pickle"):
        refused.result(PATIENCE_S)
    failed = worker.submit(fail, "no such thing")
    with pytest.raises(LookupError, match="no such thing") as found:
        failed.result(PATIENCE_S)
    assert "in fail" in found.value.__notes__[0]


def deaf(path: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    at_work(path)


@pytest.mark.parametrize(("work", "grace_s"), [(at_work, worker_processes.GRACE_S), (deaf, 0.0)])
def test_leaving_ends_what_they_are_at(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, work: Callable[[str], None], grace_s: float
) -> None:
    """And who has to be killed is no zombie either: seen on a machine so busy that one overran its grace."""
    monkeypatch.setattr(worker_processes, "GRACE_S", grace_s)
    file = tmp_path / "pid"
    with contextlib.suppress(KeyboardInterrupt), local_processes(1) as executor:
        executor.submit(work, str(file))
        deadline_s = time.monotonic() + PATIENCE_S
        while not (file.exists() and file.read_text()):
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        raise KeyboardInterrupt
    with pytest.raises(ProcessLookupError):
        os.kill(int(file.read_text()), 0)


INTERRUPTED = """
import functools
from dcompute_sim.executors import local_processes, side_by_side

def answer(size, chunk):
    return bytes(size)

if __name__ == "__main__":
    try:
        for number, _ in enumerate(side_by_side(
            functools.partial(local_processes, 2), answer, 5_000_000, iter(range(10**9)), 2, str
        )):
            if number == 3:
                print("going", flush=True)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


def test_interrupted_and_interrupted_again(tmp_path: Any) -> None:
    """Ctrl-C in a terminal is for all its processes; while answers are on their way, and once more."""
    program = tmp_path / "interrupted.py"
    program.write_text(INTERRUPTED)
    process = subprocess.Popen(
        [sys.executable, str(program)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "going\n"
        for _ in range(2):
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.05)  # two that come at once are one
        process.wait(PATIENCE_S)
        process.stdout.read()  # the end of it comes when no worker holds it any more
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        process.stdout.close()
