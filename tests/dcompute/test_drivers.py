"""AsyncioDriver: what the transports rely on."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest

from dcompute.asyncio_driver import AsyncioDriver

from ..conftest import PATIENCE_S
from .conftest import Eventually


@pytest.fixture
def driver() -> AsyncioDriver:
    return AsyncioDriver.shared()


def test_callbacks_come_in_order_on_one_thread_that_may_block(
    driver: AsyncioDriver, eventually: Eventually
) -> None:
    got: list[int] = []
    threads: set[int] = set()
    go = threading.Event()

    def callback(number: int) -> None:
        go.wait(2 * PATIENCE_S)
        threads.add(threading.get_ident())
        got.append(number)

    for number in range(100):
        driver.call_on_loop(lambda number=number: driver.deliver(lambda: callback(number)))  # type: ignore[misc]
    assert driver.wait(lambda done: done(), PATIENCE_S), "the loop goes on"
    assert got == []
    go.set()
    eventually(lambda: got == list(range(100)))
    assert len(threads) == 1


def test_waiting_has_a_limit(driver: AsyncioDriver) -> None:
    assert not driver.wait(lambda done: None, 0.01)


def test_on_the_loop_calls_run_at_once_and_waiting_does_not_block(driver: AsyncioDriver) -> None:
    said: list[str] = []

    def on_loop(done: Any) -> None:
        driver.call_on_loop(lambda: said.append("at once"))
        said.append("after")
        assert driver.wait(lambda inner: inner(), PATIENCE_S)
        assert not driver.wait(lambda inner: None, PATIENCE_S)
        done()

    assert driver.wait(on_loop, PATIENCE_S)
    assert said == ["at once", "after"]


def test_a_cancelled_timer_does_nothing(driver: AsyncioDriver) -> None:
    said: list[str] = []

    def on_loop(done: Any) -> None:
        driver.call_later(0.001, lambda: said.append("cancelled")).cancel()
        driver.call_later(0.002, done)

    assert driver.wait(on_loop, PATIENCE_S)
    assert said == []


def test_after_a_fork_there_is_a_new_loop(driver: AsyncioDriver) -> None:
    child = os.fork()
    if child == 0:
        fresh = AsyncioDriver.shared()
        os._exit(0 if fresh is not driver and fresh.wait(lambda done: done(), 10) else 1)
    assert os.waitpid(child, 0)[1] == 0
