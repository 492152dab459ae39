"""The Future of a task at a fleet."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from functools import partial
from typing import Any

from dcompute.executor.model import Outcome, Settled
from dcompute.executor.task_errors import (
    Expired,
    NodeLost,
    OutcomeUnknown,
    Quarantined,
    Refused,
    TaskError,
    TaskFailed,
)

_ERRORS: dict[Outcome, tuple[type[TaskError], str]] = {
    Outcome.EXPIRED: (Expired, "not done within its timeout"),
    Outcome.NODE_LOST: (NodeLost, "its node was lost"),
    Outcome.UNKNOWN: (OutcomeUnknown, "it may have run, or not"),
    Outcome.QUARANTINED: (Quarantined, "suspected of killing nodes"),
    Outcome.REFUSED: (Refused, "it cannot be sent"),
}


class FleetFuture(Future[Any]):
    """A `concurrent.futures.Future`; works with `wait`, `as_completed` and `asyncio.wrap_future`.

    Callbacks are called on a thread of their own, so that one that blocks stops no task. `task_id` names the
    task on the wire and in the journal. `progress` (0 to 1) and `progress_text` are what its handler reported
    last (`dcompute.worker.progress`); a task that is tried again begins anew.
    """

    def __init__(
        self,
        task_id: str,
        once: bool,
        cancel: Callable[[str], None],
        deliver: Callable[[Callable[[], None]], None],
        taken: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__()
        self.task_id = task_id
        self._once = once
        self._ask_to_cancel = cancel
        self._deliver = deliver
        self._taken = taken
        self._on_progress: tuple[Callable[[FleetFuture], object], ...] = ()
        self.progress = 0.0
        self.progress_text = ""

    def cancel(self) -> bool:
        """Cancel the task, waiting or at work; what its node still does is discarded.

        Of a task that is to run `once` this returns False: the future is cancelled as soon as its node has
        said that it never ran, and has its result otherwise.
        """
        if self.done():
            return self.cancelled()
        self._ask_to_cancel(self.task_id)
        return False if self._once else super().cancel()

    def result(self, timeout: float | None = None) -> Any:
        """Return the result. Raises TaskError (see docs/executor.md), CancelledError or TimeoutError."""
        try:
            return super().result(timeout)
        finally:
            self._take()

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Tell what `result` would raise, None if it would not."""
        try:
            return super().exception(timeout)
        finally:
            self._take()

    def _take(self) -> None:
        if self._taken is not None and self.done():
            taken, self._taken = self._taken, None
            taken(self.task_id)

    def add_done_callback(self, fn: Callable[[Future[Any]], object]) -> None:
        """Call `fn(self)` when it is done, on a thread of its own; at once if it is already."""
        super().add_done_callback(lambda _future: self._deliver(partial(ignore, fn, self)))

    def add_progress_callback(self, fn: Callable[[FleetFuture], object]) -> None:
        """Call `fn(self)` whenever the handler has reported progress, on the thread of the other callbacks.

        Reports may get lost, and are at least a tenth of a second apart; a result follows in any case.
        """
        self._on_progress += (fn,)


def note_progress(future: FleetFuture, fraction: float, text: str) -> None:
    """Take in that its node has said how far it is."""
    future.progress, future.progress_text = fraction, text
    for fn in future._on_progress:
        future._deliver(partial(ignore, fn, future))


def abandon(future: FleetFuture) -> None:
    """Take in that nobody here will hear of the task any more."""
    if Future.cancel(future):
        future.set_running_or_notify_cancel()


def settle(future: FleetFuture, settled: Settled) -> None:
    """Take in that the task is over."""
    try:
        if future.cancelled() or settled.outcome is Outcome.CANCELLED:
            Future.cancel(future)
            future.set_running_or_notify_cancel()
        elif settled.outcome is Outcome.RESULT:
            future.set_result(settled.value)
        else:
            future.set_exception(error_of(settled))
    except InvalidStateError:  # cancelled between the look and the word
        future.set_running_or_notify_cancel()


def ignore(fn: Callable[[Any], object], argument: object) -> None:
    """Call it; what it returns is of no interest."""
    fn(argument)


def error_of(settled: Settled) -> TaskError:
    """Return the exception for a task that is over without a result."""
    task_id, value = settled.task.id, settled.value
    if settled.outcome is Outcome.FAILED:
        error = value if isinstance(value, dict) else {"type": "Error", "message": str(value)}
        type_, message, traceback = (str(error.get(key, "")) for key in ("type", "message", "traceback"))
        return TaskFailed(message, task_id, settled.node, type_ or "Error", traceback)
    kind, words = _ERRORS[settled.outcome]
    return kind(f"task {task_id}: {value or words}", task_id, settled.node)
