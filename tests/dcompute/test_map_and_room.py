"""How far a map reads ahead, who waits for room, and what is done of a map that nobody reads."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dcompute.asyncio_driver import AsyncioDriver
from dcompute.errors import Backlogged
from dcompute.executor.core import FleetCore
from dcompute.executor.future import FleetFuture, settle
from dcompute.executor.map_results import MapResults
from dcompute.executor.model import Outcome, Settled, Task
from dcompute.executor.room import Room

from ..conftest import PATIENCE_S
from .conftest import Eventually, World


class Asked:
    """A map over `calls`, whose tasks are done when the test says so."""

    def __init__(self, calls: Iterator[Any], ahead: int, **options: Any) -> None:
        self.futures: list[FleetFuture] = []
        self.cancelled: list[str] = []
        self.begun: list[MapResults] = []
        settings: dict[str, Any] = {"in_chunks": False, "begun": self.begun.append, **options}
        self.results = MapResults(calls, self.submit, lambda: ahead, None, **settings)

    def submit(self, calls: list[Any]) -> list[FleetFuture]:
        new = [FleetFuture(str(call), False, self.cancelled.append, lambda call: call()) for call in calls]
        self.futures += new
        return new

    def finish(self, value: Callable[[str], Any] = int) -> None:
        for future in self.futures:
            if not future.done():
                result = value(future.task_id)
                settle(future, Settled(Task(future.task_id, b""), Outcome.RESULT, result))


def test_an_endless_iterable_is_read_as_far_as_it_may_be_ahead() -> None:
    asked = Asked(itertools.count(), 8)
    assert len(asked.futures) == 8
    taken = []
    for _ in range(100):
        asked.finish()
        taken.append(next(asked.results))
        assert len(asked.futures) - len(taken) <= 8
    assert taken == list(range(100))


def test_a_task_may_have_many_results() -> None:
    asked = Asked(iter("ab"), 8, in_chunks=True)
    asked.finish(lambda name: [name, name * 2])
    assert list(asked.results) == ["a", "aa", "b", "bb"]


def test_what_is_stopped_in_the_midst_is_cancelled_and_read_no_more() -> None:
    asked = Asked(itertools.count(), 4)
    asked.finish()
    assert [next(asked.results) for _ in range(2)] == [0, 1]
    asked.results.close()
    assert len(asked.futures) == 5
    assert list(asked.results) == []
    dropped = Asked(itertools.count(), 4)
    dropped.finish()
    assert [next(dropped.results) for _ in range(2)] == [0, 1]
    del dropped.results, dropped.begun
    assert dropped.cancelled == ["4"]


def test_what_was_never_begun_is_not_given_up_by_dropping_it() -> None:
    asked = Asked(iter(range(4)), 8)
    del asked.results
    assert asked.cancelled == []


def test_what_an_iterable_raises_comes_out_and_ends_it() -> None:
    def calls() -> Iterator[int]:
        yield from range(9)
        raise LookupError("no more")

    asked = Asked(calls(), 8)
    asked.finish()
    with pytest.raises(LookupError, match="no more"):
        list(asked.results)
    assert list(asked.results) == []


def test_there_is_room_for_what_is_more_urgent_only() -> None:
    room = Room(AsyncioDriver.shared(), 3)
    room.enter(5, 3)
    room.enter(9, 3)
    entered = threading.Event()

    def enter() -> None:
        room.enter(5, 1)
        entered.set()

    threading.Thread(target=enter, daemon=True).start()
    for _ in range(3):
        assert not entered.is_set()
        room.leave(5)
    assert not entered.is_set(), "those above count"
    room.leave(9, 1)
    assert entered.wait(PATIENCE_S)


def test_a_large_fleet_is_not_starved_and_more_than_ever_fits_goes_alone() -> None:
    room = Room(AsyncioDriver.shared(), 3)
    room.fleet_takes(100)
    room.enter(5, 200)
    room.leave(5, 200)
    room.fleet_takes(0)
    room.enter(5, 10)


def test_who_waits_is_let_in_at_the_end(eventually: Eventually) -> None:
    room = Room(AsyncioDriver.shared(), 1)
    room.enter(5, 1)
    thread = threading.Thread(target=room.enter, args=(5, 1), daemon=True)
    thread.start()
    room.open()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def test_on_its_own_loop_it_cannot_wait(world: World) -> None:
    room = Room(world, 1)
    room.enter(5, 1)
    with pytest.raises(Backlogged, match="1 task is on the way"):
        room.enter(5, 1)
    with pytest.raises(ValueError, match="at least 1"):
        Room(world, 0)


def test_deadlines_of_what_is_done_are_not_kept() -> None:
    core = FleetCore()
    for number in range(5_000):
        core.submit(Task(str(number), b"{}", deadline_s=1e6), now_s=0.0)
        core.refuse(str(number), "a test", 0.0)
    assert len(core.deadlines) < 2_000
