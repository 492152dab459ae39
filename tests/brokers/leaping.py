"""An event loop that does not wait: while nothing is on its way, its clock leaps to what is due next.

For brokers and clients that are all in one loop, over real sockets. What was written on loopback can be read
at once; so when a look at the sockets finds nothing, and another one after SETTLE_S does not either,
everybody waits for the clock, and it may as well go on. However busy the machine is, nobody is late, and a
suite that mostly waits takes as long as what it computes.

Not for processes or threads beside the loop, of whose doings it knows nothing; but while something is in an
executor of its own, it waits as any loop does. Nor for the kernel's own clocks: who dials while a server's
queue of connections is full is heard a second later, so servers here have long ones.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

SETTLE_S = (
    0.002  # of real time: the kernel hands packets on by itself, at the latest when it gets a processor
)


class _Selector(selectors.BaseSelector):
    """Tells `leap` how long it would have waited in vain."""

    def __init__(self, may_leap: Callable[[], bool], leap: Callable[[float], None]) -> None:
        self._real = selectors.DefaultSelector()
        self._may_leap = may_leap
        self._leap = leap

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = self._real.select(0)
        if found or (timeout is not None and timeout <= 0):
            return found
        if timeout is None or not self._may_leap():
            return self._real.select(timeout)
        found = self._real.select(SETTLE_S)
        if not found:
            self._leap(timeout)
        return found

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        found: Mapping[Any, selectors.SelectorKey] | None = self._real.get_map()
        return {} if found is None else found

    def close(self) -> None:
        self._real.close()


class LeapingLoop(asyncio.SelectorEventLoop):
    """See above."""

    def __init__(self) -> None:
        self._now_s = 1000.0
        self._outside = 0
        super().__init__(_Selector(lambda: not self._outside, self._leap))

    def time(self) -> float:
        return self._now_s

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        future = super().run_in_executor(executor, func, *args)
        self._outside += 1
        future.add_done_callback(self._came_back)
        return future

    def _came_back(self, _future: asyncio.Future[Any]) -> None:
        self._outside -= 1

    def stall(self, seconds: float) -> None:
        """Be without a processor for so long."""
        self._now_s += seconds

    _leap = stall


def run_leaping(main: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`."""
    with asyncio.Runner(loop_factory=LeapingLoop) as runner:
        return runner.run(main)
