"""The private names of SimPy that virtual time leans on are still what they were.

`dcompute_sim.net.clock` puts its own entries into SimPy's queue, and steps through it itself: that is most of
what a run in virtual time costs. Should one of these fail, read that module's head, and SimPy's `core.py`.
"""

from __future__ import annotations

import heapq

import pytest
import simpy
from simpy.events import NORMAL, Event


def test_the_queue_is_a_heap_of_time_priority_number_and_event() -> None:
    env = simpy.Environment()
    later, sooner = env.timeout(2), env.timeout(1)
    assert isinstance(env._queue, list)
    number = next(env._eid)
    assert sorted(env._queue) == [(1, NORMAL, number - 1, sooner), (2, NORMAL, number - 2, later)]
    assert heapq.heappop(env._queue)[3] is sooner


def test_now_can_be_set() -> None:
    env = simpy.Environment()
    env._now = 5.0
    assert env.now == 5.0


def test_an_event_is_its_callbacks_and_how_it_went() -> None:
    env = simpy.Environment()
    event = Event(env)
    assert event.callbacks == []
    event.succeed("value")
    assert (event._ok, event._value) == (True, "value")
    env.run()
    assert event.callbacks is None, "what was called back is marked by None"


def test_a_failure_that_somebody_took_is_marked_and_another_ends_the_run() -> None:
    env = simpy.Environment()
    failed = Event(env)
    failed.fail(ValueError("boom"))
    assert not failed._ok
    assert not hasattr(failed, "_defused")
    with pytest.raises(ValueError, match="boom"):
        env.run()
    taken = Event(env)
    taken.fail(ValueError("boom"))
    taken.defused = True
    assert hasattr(taken, "_defused")
    env.run()


def test_an_entry_need_be_no_event() -> None:
    """Of what it takes from the queue, SimPy's `step` looks at `callbacks` and `_ok` only."""

    class Entry:
        _ok = True

        def __init__(self) -> None:
            self.callbacks = [self.called]
            self.calls = 0

        def called(self, entry: Entry) -> None:
            self.calls += 1

    env = simpy.Environment()
    entry = Entry()
    heapq.heappush(env._queue, (1.0, NORMAL, next(env._eid), entry))  # type: ignore[misc]
    env.run()
    assert (env.now, entry.calls) == (1.0, 1)
