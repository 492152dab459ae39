"""What a master and a node have in common: one link, a beginning and an end.

Rules of the end
1. `stop` sends what is held, within its bound, and says what it could not send: as its return value, in the
   log, and, on request, as `NotSent`.
2. A program that ends without it is stopped at its exit, so that one which sends and ends has sent. (Not one
   that is killed, or ends by `os._exit`.)
3. Ctrl-C inside `start` leaves nothing running: who was not told that it began will not end it.
4. In a child process that was forked off, everything raises `Forked`, except for the end, which does nothing
   there.
"""

from __future__ import annotations

import atexit
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from dcompute._fork import check_process, this_process
from dcompute._log import guarded, log
from dcompute._mqtt.hearing import Hearing
from dcompute._mqtt.link_owner import Outgoing
from dcompute.drivers import Driver
from dcompute.errors import NotSent

AT_EXIT_S = 5.0  # for all transports of a program together
_NAMED = 5  # of what was not sent, in the log


class Transport(Hearing):
    """The life of a transport. A subclass sets `_link`.

    Args:
        driver: whose loop it runs on.
        at_exit: whether to stop it when the program ends.
    """

    def __init__(self, driver: Driver, at_exit: bool) -> None:
        self._driver = driver
        self._at_exit = at_exit
        self._pid = this_process()
        self._told_unsent = False

    @property
    def last_error(self) -> str:
        """Why the link is not up, and what is suspected, or what the broker seems to deny it; else ""."""
        return self._link.last_error or self._denied

    def is_connected(self) -> bool:
        """Tell whether it is connected and subscribed."""
        return self._link.is_up()

    def start(self, timeout_s: float = 10.0) -> bool:
        """Connect, and stay connected until stopped.

        Returns True once connected. Returns False when the first attempt failed or `timeout_s` passed:
        `last_error` says why, and it goes on trying by itself. Called on the driver's own loop, which it must
        not block, it returns False at once: await `start_async` there.
        """
        self._begin()
        try:
            self._driver.wait(self._link.start, timeout_s)
        except BaseException:
            self.kill()
            raise
        return self._link.is_up()

    async def start_async(self, timeout_s: float = 10.0) -> bool:
        """Do the same as `start` without blocking the running asyncio loop, whichever loop the driver has."""
        self._begin()
        try:
            await self._await(self._link.start, timeout_s)
        except BaseException:
            self.kill()
            raise
        return self._link.is_up()

    def stop(self, timeout_s: float = 2.0, *, check: bool = False) -> list[str]:
        """Send what is held and disconnect. May be called again without effect.

        What the broker has not acknowledged within `timeout_s` is given up for now: a later `start` sends it.

        Returns:
            The ids of the tasks that were not sent (a master), or whose results were not (a node); "" for one
            that has none. Called on the driver's own loop it returns [] at once: await `stop_async` there.

        Raises:
            NotSent: if `check` is set and there are any.
        """
        if this_process() != self._pid:
            return []
        self._end()
        self._driver.wait(lambda done: self._close(timeout_s, done), timeout_s + 1)
        return self._ended(check)

    async def stop_async(self, timeout_s: float = 2.0, *, check: bool = False) -> list[str]:
        """Do the same as `stop` without blocking the running asyncio loop."""
        if this_process() != self._pid:
            return []
        self._end()
        await self._await(lambda done: self._close(timeout_s, done), timeout_s + 1)
        return self._ended(check)

    def flush(self, timeout_s: float = 10.0, *, check: bool = False) -> list[str]:
        """Wait until the broker has acknowledged everything that was handed over.

        Returns:
            What it has not, when `timeout_s` has passed, as `stop` does; [] when all is sent.

        Raises:
            NotSent: if `check` is set and there is any.
        """
        self._check_process()
        self._driver.wait(self._link.when_idle, timeout_s)
        unsent = self._unsent()
        if unsent and check:
            raise NotSent(unsent)
        return unsent

    def kill(self) -> None:
        """Stop at once as a crash would: no DISCONNECT, so the broker publishes the will."""
        if this_process() == self._pid:
            self._end()
            self._driver.call_on_loop(self._link.kill)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        await self.start_async()
        return self

    async def __aexit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self.stop_async()

    # --- for subclasses ---------------------------------------------------------------------------------

    def _starting(self) -> None:
        """Do what is to happen before the link starts."""

    def _stopping(self) -> None:
        """Do what is to happen before the link stops, in whichever way."""

    def _last_words(self) -> Sequence[Outgoing]:
        """Tell what is to be sent last; on the loop."""
        return ()

    def _task_of(self, message: Outgoing) -> str | None:
        """Return the task that a message is of; None for one that nobody misses."""
        raise NotImplementedError

    def _check_process(self) -> None:
        check_process(self._pid, type(self))

    # --- how --------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._check_process()
        self._told_unsent = False
        if self._at_exit:
            _started[id(self)] = self
        self._starting()

    def _end(self) -> None:
        _started.pop(id(self), None)
        self._stopping()

    def _close(self, timeout_s: float, done: Callable[[], None]) -> None:
        self._link.close(self._last_words(), timeout_s, done)

    def _ended(self, check: bool) -> list[str]:
        if self._link.is_running():  # on its own loop, it has only begun to end
            return []
        unsent = self._unsent()
        if unsent and not self._told_unsent:
            self._told_unsent = True
            named = ", ".join(task or "(no id)" for task in unsent[:_NAMED])
            more = f" and {len(unsent) - _NAMED:,} more" if len(unsent) > _NAMED else ""
            log.warning("%s stopped with %d not sent: %s%s", self, len(unsent), named, more)
        if unsent and check:
            raise NotSent(unsent)
        return unsent

    def _unsent(self) -> list[str]:
        tasks = [self._task_of(message) for message in self._link.unsent()]
        return [task for task in tasks if task is not None]

    async def _await(self, started: Callable[[Callable[[], None]], None], timeout_s: float) -> None:
        import asyncio  # here: in virtual time nobody has a use for it

        loop = asyncio.get_running_loop()
        finished = asyncio.Event()

        def tell() -> None:
            loop.call_soon_threadsafe(finished.set)

        self._driver.call_on_loop(lambda: started(tell))
        try:
            async with asyncio.timeout(timeout_s):
                await finished.wait()
        except TimeoutError:
            pass


_started: dict[int, Transport] = {}


@atexit.register
def _stop_all() -> None:
    give_up_s = time.monotonic() + AT_EXIT_S
    for transport in list(_started.values()):
        left_s = max(0.0, give_up_s - time.monotonic())
        guarded("the end of a transport", transport.stop, left_s)
