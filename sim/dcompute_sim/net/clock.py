"""Plain callbacks on SimPy's clock, at the cost of one heap entry each.

SimPy's `step` needs of a scheduled event only `callbacks`, `_ok` and to be comparable by its own counter,
so the events here are small slotted objects instead of `simpy.Event`: no generator, no dictionary, no
callback list.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from heapq import heapify, heappop, heappush

from simpy import Environment, Event
from simpy.core import StopSimulation
from simpy.events import NORMAL

_COMPACT_ABOVE = 32  # cancelled timers that may wait in the heap before it is worth cleaning


class Timer:
    """A callback due at a time; `cancel` withdraws it."""

    # Without an `__init__`: to call that takes CPython 3.11 longer than all that `call_later` does besides.
    __slots__ = ("_clock", "_fn", "callbacks")
    _ok = True  # to SimPy: an event that succeeded
    _clock: Clock
    _fn: Callable[[], object] | None
    callbacks: object

    @property
    def active(self) -> bool:
        """Neither fired nor cancelled."""
        return self._fn is not None

    def cancel(self) -> None:
        """Withdraw it; harmless when it has fired or was cancelled before."""
        if self._fn is not None:
            self._fn = None
            self._clock._note_cancelled()


def _fire(timer: Timer) -> None:
    fn = timer._fn
    if fn is None:
        timer._clock._cancelled -= 1
    else:
        timer._fn = None
        fn()


_FIRE = (_fire,)


class Clock:
    """Now, and callbacks later, on a SimPy environment whose time is in seconds."""

    def __init__(self, env: Environment) -> None:
        self.env = env
        self.shared_call_later = self.call_later  # bound once: 64 bytes for each of a thousand who keep it
        self._cancelled = 0

    def now_s(self) -> float:
        """Return the virtual time."""
        return self.env._now

    def call_later(self, delay_s: float, fn: Callable[[], object]) -> Timer:
        """Call `fn()` in `delay_s` seconds (at the earliest after what is running now)."""
        env, timer = self.env, Timer()
        timer._clock, timer._fn, timer.callbacks = self, fn, _FIRE
        due_s = env._now + delay_s if delay_s > 0 else env._now
        heappush(env._queue, (due_s, NORMAL, next(env._eid), timer))  # type: ignore[misc]  # an event, to SimPy
        return timer

    def call_at(self, when_s: float, fn: Callable[[], object]) -> Timer:
        """Call `fn()` at `when_s`, or now if that is past."""
        return self.call_later(when_s - self.env._now, fn)

    def run_until(self, end: Event) -> None:
        """Run the environment until `end` has happened: SimPy's `run` with its `step` in the same loop, which
        is a tenth of what a short run takes."""
        env, queue, pop = self.env, self.env._queue, heappop
        end.callbacks.append(StopSimulation.callback)
        with contextlib.suppress(StopSimulation):
            while queue:
                env._now, _, _, event = pop(queue)
                callbacks: object = event.callbacks
                if callbacks.__class__ is tuple:  # ours, nine of ten: one callback, and none of them fails
                    callbacks[0](event)
                    continue
                callbacks, event.callbacks = event.callbacks, None  # type: ignore[assignment]  # as SimPy marks it
                for callback in callbacks:
                    callback(event)
                if not event._ok and not hasattr(event, "_defused"):
                    error = event._value
                    raise error if isinstance(error, BaseException) else RuntimeError(f"{error!r} failed")
            raise RuntimeError("nothing is left to happen, and the run has not come to its end")

    def _note_cancelled(self) -> None:
        """Clean the heap once most of it is cancelled timers (SimPy itself keeps them until they are due)."""
        self._cancelled += 1
        queue = self.env._queue
        if self._cancelled > _COMPACT_ABOVE and self._cancelled * 2 > len(queue):
            queue[:] = [entry for entry in queue if not _is_cancelled(entry[3])]
            heapify(queue)  # entries are totally ordered, so the order of what remains does not change
            self._cancelled = 0


def _is_cancelled(event: object) -> bool:
    return type(event) is Timer and event._fn is None
