"""The fence: everything that ties a run to the outside raises where it is called, and only there."""

from __future__ import annotations

import asyncio
import datetime
import gc
import logging
import os
import random
import secrets
import socket
import subprocess
import sys
import threading
import time
import types
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from dcompute_sim.net.fence import Fence, FenceError

from ..conftest import PATIENCE_S

FORBIDDEN: dict[str, Callable[[], object]] = {
    "time.time": lambda: time.time(),
    "time.time_ns": lambda: time.time_ns(),
    "time.monotonic": lambda: time.monotonic(),
    "time.monotonic_ns": lambda: time.monotonic_ns(),
    "time.perf_counter": lambda: time.perf_counter(),
    "time.perf_counter_ns": lambda: time.perf_counter_ns(),
    "time.process_time": lambda: time.process_time(),
    "time.localtime": lambda: time.localtime(),
    "time.strftime": lambda: time.strftime("%H"),
    "datetime.now": lambda: datetime.datetime.now(),
    "datetime.now(utc)": lambda: datetime.datetime.now(datetime.UTC),
    "datetime.utcnow": lambda: datetime.datetime.utcnow(),
    "date.today": lambda: datetime.date.today(),
    "time.sleep": lambda: time.sleep(0),
    "thread": lambda: threading.Thread(target=print).start(),
    "timer": lambda: threading.Timer(0, print).start(),
    "socket": lambda: socket.socket(),
    "socketpair": lambda: socket.socketpair(),
    "asyncio loop": lambda: asyncio.new_event_loop(),
    "subprocess": lambda: subprocess.Popen([sys.executable, "-c", ""]),
    "os.system": lambda: os.system("true"),
    "random.random": lambda: random.random(),
    "random.choice": lambda: random.choice([1, 2]),
    "random.shuffle": lambda: random.shuffle([1, 2]),
    "random.Random()": lambda: random.Random(),
    "SystemRandom": lambda: random.SystemRandom().random(),
    "os.urandom": lambda: os.urandom(1),
    "uuid1": lambda: uuid.uuid1(),
    "uuid4": lambda: uuid.uuid4(),
    "secrets": lambda: secrets.token_hex(4),
}

ALLOWED: dict[str, Callable[[], object]] = {
    "seeded generator": lambda: random.Random("seed").random(),
    "formatting a given time": lambda: time.strftime("%H", time.gmtime(0)),
    "making a datetime": lambda: datetime.datetime(2020, 1, 1) + datetime.timedelta(days=1),
    "parsing a datetime": lambda: datetime.datetime.fromisoformat("2020-01-01"),
    "a lock": lambda: threading.Lock(),
    "uuid5": lambda: uuid.uuid5(uuid.NAMESPACE_DNS, "x"),
}


@pytest.mark.filterwarnings("ignore:.*utcnow:DeprecationWarning")
@pytest.mark.parametrize("name", FORBIDDEN)
def test_reaching_outside_raises_inside_and_works_after(name: str) -> None:
    with Fence(), pytest.raises(FenceError, match=r"test_fence"):
        FORBIDDEN[name]()
    made = FORBIDDEN[name]()
    if isinstance(made, socket.socket | asyncio.AbstractEventLoop):
        made.close()
    elif isinstance(made, subprocess.Popen):
        made.wait()
    elif isinstance(made, tuple) and isinstance(made[0], socket.socket):
        for end in made:
            end.close()


@pytest.mark.parametrize("name", ALLOWED)
def test_what_is_pure_works_inside(name: str) -> None:
    with Fence():
        ALLOWED[name]()


def test_the_message_names_the_call_and_its_place() -> None:
    def handler() -> float:
        return time.time()

    with Fence(), pytest.raises(FenceError) as caught:
        handler()
    line = handler.__code__.co_firstlineno + 1
    assert "calls time.time()" in str(caught.value)
    assert f"handler (line {line})" in str(caught.value)


def test_names_imported_from_time_are_caught(make_module: Callable[[str], types.ModuleType]) -> None:
    module = make_module(
        "from time import time as now\nfrom datetime import datetime\nfrom random import random\n"
        "def clock(): return now()\ndef date(): return datetime.now()\ndef draw(): return random()\n"
    )
    before = dict(vars(module))
    with Fence():
        for call in (module.clock, module.date, module.draw):
            with pytest.raises(FenceError):
                call()
    assert vars(module) == before
    assert module.clock() > 0


def test_a_clock_put_in_place_of_the_wall_clock_stays(
    make_module: Callable[[str], types.ModuleType],
) -> None:
    module: Any = make_module("from time import monotonic as time_func\ndef now(): return time_func()\n")
    with Fence(), pytest.raises(FenceError):
        module.now()
    module.time_func = lambda: 42.0
    with Fence():
        assert module.now() == 42.0
        module.time_func = lambda: 43.0
    assert module.now() == 43.0


def test_a_named_module_is_let_through_with_what_it_calls(
    make_module: Callable[[str], types.ModuleType],
) -> None:
    display = make_module("import time\ndef refresh(): return time.monotonic()\ndef call(fn): return fn()\n")
    with Fence(allow=(display.__name__,)):
        assert display.refresh() > 0
        assert display.call(lambda: time.time()) > 0
        with pytest.raises(FenceError):
            time.time()
    with Fence(), pytest.raises(FenceError):
        display.refresh()


def test_who_entered_the_fence_lends_its_permission_to_nobody(
    make_module: Callable[[str], types.ModuleType],
) -> None:
    runner = make_module(
        "from dcompute_sim.net.fence import Fence\n"
        "def run(fn):\n  with Fence(allow=(__name__,)):\n    return fn()\n"
    )
    with pytest.raises(FenceError):
        runner.run(lambda: time.time())


def test_logging_works_inside(caplog: pytest.LogCaptureFixture) -> None:
    with Fence():
        logging.getLogger("fence").warning("in virtual time")
    assert "in virtual time" in caplog.text


def test_other_threads_are_free() -> None:
    inside, seen = threading.Event(), []

    def other() -> None:
        inside.wait(PATIENCE_S)
        seen.append(time.time())

    thread = threading.Thread(target=other)
    thread.start()
    with Fence():
        inside.set()
        thread.join(PATIENCE_S)
    assert len(seen) == 1


def test_two_threads_may_each_have_a_fence() -> None:
    entered, leave, raised = threading.Event(), threading.Event(), []

    def other() -> None:
        with Fence():
            entered.set()
            leave.wait(PATIENCE_S)
            try:
                time.time()
            except FenceError as error:
                raised.append(error)

    thread = threading.Thread(target=other)
    thread.start()
    entered.wait(PATIENCE_S)
    with Fence(), pytest.raises(FenceError):
        time.time()
    time.time()  # this thread's fence is gone, the other's is not
    leave.set()
    thread.join(PATIENCE_S)
    assert len(raised) == 1


def test_everything_is_restored_after_an_error() -> None:
    before = (time.time, datetime.datetime, datetime.date, random.random, random.Random.seed, os.urandom)
    with pytest.raises(FenceError), Fence():
        time.time()
    after = (time.time, datetime.datetime, datetime.date, random.random, random.Random.seed, os.urandom)
    assert all(was is now for was, now in zip(before, after, strict=True))


def test_a_datetime_is_one_on_both_sides_of_the_fence() -> None:
    made_outside = datetime.datetime(2020, 1, 1)
    outside = datetime.datetime
    with Fence():
        assert isinstance(made_outside, datetime.datetime)
        made_inside = datetime.datetime(2020, 1, 1)
        assert issubclass(outside, datetime.datetime)
    assert type(made_inside) is outside
    assert made_inside == made_outside


def test_a_callback_of_the_garbage_collector_is_not_the_runs_doing() -> None:
    """hypothesis times collections, whichever code happens to run then."""
    timed: list[float] = []
    failed: list[Exception] = []

    def on_collection(phase: str, info: dict[str, int]) -> None:
        try:
            timed.append(time.perf_counter())
        except FenceError as error:
            failed.append(error)

    gc.callbacks.append(on_collection)
    try:
        with Fence():
            gc.collect()
    finally:
        gc.callbacks.remove(on_collection)
    assert timed
    assert not failed
    with Fence(), pytest.raises(FenceError):
        time.perf_counter()


LATE_ASYNCIO = """
import sys
from dcompute_sim.net.fence import Fence, FenceError

def made():
    import asyncio
    try:
        asyncio.new_event_loop()
    except FenceError as error:
        return str(error)

with Fence():
    assert "asyncio" not in sys.modules
    print(made())
with Fence():
    print(made())
"""


def test_an_asyncio_that_comes_later_makes_no_loop_either() -> None:
    """Nothing in virtual time imports it. Inside a fence its socket gives a loop away; the next knows it."""
    told = subprocess.run([sys.executable, "-c", LATE_ASYNCIO], check=True, capture_output=True, text=True)
    first, second = told.stdout.splitlines()
    assert "opens a socket" in first
    assert "makes an asyncio loop" in second


def test_a_second_fence_in_the_same_thread_is_an_error() -> None:
    with Fence(), pytest.raises(RuntimeError, match="already"), Fence():
        pass
    time.time()


def test_entering_and_leaving_costs_little() -> None:
    with Fence():
        pass
    started = time.process_time()
    for _ in range(200):
        with Fence():
            pass
    assert (time.process_time() - started) / 200 < 0.002
