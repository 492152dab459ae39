"""Callbacks on SimPy's clock."""

from __future__ import annotations

import simpy
from dcompute_sim.net.clock import Clock


def test_callbacks_come_in_order_of_time_then_of_asking() -> None:
    env = simpy.Environment()
    clock = Clock(env)
    seen: list[tuple[float, str]] = []
    for name, delay_s in (("late", 2.0), ("first", 1.0), ("second", 1.0), ("now", 0.0), ("past", -1.0)):
        clock.call_later(delay_s, lambda name=name: seen.append((env.now, name)))  # type: ignore[misc]
    clock.call_at(1.5, lambda: seen.append((env.now, "at")))
    env.run()
    assert seen == [(0, "now"), (0, "past"), (1, "first"), (1, "second"), (1.5, "at"), (2, "late")]


def test_callbacks_and_simpy_processes_share_the_clock() -> None:
    env = simpy.Environment()
    seen: list[str] = []

    def process() -> simpy.events.ProcessGenerator:
        yield env.timeout(1)
        seen.append("process")
        Clock(env).call_later(1, lambda: seen.append("callback"))
        yield env.timeout(2)
        seen.append("process again")

    env.process(process())
    env.run()
    assert seen == ["process", "callback", "process again"]


def test_a_cancelled_callback_does_not_come() -> None:
    env = simpy.Environment()
    clock = Clock(env)
    seen: list[int] = []
    timer = clock.call_later(1, lambda: seen.append(1))
    assert timer.active
    timer.cancel()
    timer.cancel()
    assert not timer.active
    kept = clock.call_later(1, lambda: seen.append(2))
    env.run()
    assert seen == [2]
    kept.cancel()  # too late, and harmless
    assert not kept.active


def test_cancelled_timers_do_not_pile_up_and_the_others_keep_their_order() -> None:
    env = simpy.Environment()
    clock = Clock(env)
    seen: list[int] = []
    for number in range(50):
        clock.call_later(1000 - number, lambda number=number: seen.append(number))  # type: ignore[misc]
    for _ in range(10_000):
        clock.call_later(500, lambda: seen.append(-1)).cancel()
    assert len(env._queue) < 700
    env.run()
    assert seen == list(reversed(range(50)))


def test_an_exception_in_a_callback_ends_the_run_where_it_was_raised() -> None:
    env = simpy.Environment()
    Clock(env).call_later(1, lambda: 1 / 0)
    try:
        env.run()
    except ZeroDivisionError:
        assert env.now == 1
    else:
        raise AssertionError("the error was swallowed")
