"""The testbed tells when it was late itself: its loop had no turn, or it or its broker had no processor."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from dcompute_sim import trace as t
from dcompute_sim.engines.processor_wait import ProcessorWait
from dcompute_sim.engines.real import RealEngine

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who waits for a processor")
BUSY, RIVALS = "while True: pass", 5


@contextlib.contextmanager
def processes(programs: list[str]) -> Iterator[list[int]]:
    """Run them on one and the same processor."""
    one = {min(os.sched_getaffinity(0))}
    running = [subprocess.Popen([sys.executable, "-S", "-c", program]) for program in programs]
    try:
        for process in running:
            os.sched_setaffinity(process.pid, one)
        yield [process.pid for process in running]
    finally:
        for process in running:
            process.kill()
            process.wait()


def lags_of(broker_process: int | None, does: Any) -> list[t.Event]:
    """What a run tells whose broker is this process."""
    trace = t.Trace()

    async def run() -> None:
        broker: Any = SimpleNamespace(name="none", granularity_s=0.0, process_id=broker_process)
        engine = RealEngine(trace, 1, broker, {})
        await engine.run(lambda: does(engine, trace))

    asyncio.run(run())
    return list(trace)


def waits(engine: RealEngine, trace: t.Trace) -> Iterator[Any]:
    yield engine.env.timeout(0.5)


def waits_until_told(engine: RealEngine, trace: t.Trace) -> Iterator[Any]:
    """The kernel tells of a wait when it is over, which on a busy machine takes its time."""
    while engine.env.now < 60 and not any(isinstance(event, t.BrokerLagged) for event in trace):
        yield engine.env.timeout(0.1)


def test_a_loop_that_has_no_turn_is_told_of() -> None:
    def process(engine: RealEngine, trace: t.Trace) -> Iterator[Any]:
        yield engine.env.timeout(0.15)
        time.sleep(0.5)  # whatever keeps this thread from its work
        yield engine.env.timeout(0.7)

    lagged = [event for event in lags_of(None, process) if isinstance(event, t.LoopLagged)]
    assert 300_000 < max(event.lag_us for event in lagged) < 5_000_000


@on_linux
def test_a_broker_that_wants_a_processor_and_has_none_is_told_of() -> None:
    with processes([BUSY] * RIVALS) as (broker, *_):
        told, *_ = (e for e in lags_of(broker, waits_until_told) if isinstance(e, t.BrokerLagged))
    assert 50_000 <= told.lag_us < 60_000_000


@on_linux
def test_a_broker_that_hangs_wants_none() -> None:
    """However late it is: that it does nothing is its own doing, on however busy a machine."""
    with processes([BUSY] * RIVALS) as (broker, *_):
        os.kill(broker, signal.SIGSTOP)
        os.waitid(os.P_PID, broker, os.WSTOPPED | os.WNOWAIT)
        assert not [event for event in lags_of(broker, waits) if isinstance(event, t.BrokerLagged)]


@on_linux
def test_another_process_begins_anew() -> None:
    """A broker that was restarted: what it waited for before it was looked at is not of this run's time."""
    wait = ProcessorWait()
    with processes([BUSY] * 2) as (first, second):
        assert wait.since_s(first) == 0.0
        assert wait.since_s(second) == 0.0
        assert wait.since_s(None) == wait.since_s(None) == 0.0
    assert wait.since_s(first) == wait.since_s(first) == 0.0, "it has ended"
