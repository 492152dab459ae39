"""Calling a handler: its result or what it raised, how far it is, and whether anyone still wants it."""

from __future__ import annotations

import contextvars
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_SUMMARY_CHARS = 1000
_PROGRESS_CHARS = 200
_TRACEBACK_CHARS = 20_000  # of its end, which says where it came from

Task = dict[str, Any]
Handler = Callable[[Task], object]


@dataclass(frozen=True)
class Failure:
    """How a task failed: `<type>: <message>`, and the traceback as text."""

    error: str
    traceback: str = ""


Report = Callable[[float, str], object]

_cancelled: contextvars.ContextVar[threading.Event | None] = contextvars.ContextVar("cancelled", default=None)
_report: contextvars.ContextVar[Report | None] = contextvars.ContextVar("report", default=None)


def is_cancelled() -> bool:
    """Tell whether the task that this thread works on is not wanted any more; for handlers that take long."""
    flag = _cancelled.get()
    return flag is not None and flag.is_set()


def progress(fraction: float, text: str = "") -> None:
    """Tell whoever asked for the task that this thread works on how far it is.

    It reaches a FleetExecutor's future, at most ten times a second; with others it has no effect.

    Args:
        fraction: 0 to 1.

    Raises:
        ValueError: if it is no such number.
    """
    if isinstance(fraction, bool) or not isinstance(fraction, (int, float)) or not 0 <= fraction <= 1:
        raise ValueError(f"progress is a number from 0 to 1, not {fraction!r}")
    report = _report.get()
    if report is not None:
        report(float(fraction), str(text)[:_PROGRESS_CHARS])


def begin_with(flag: threading.Event | None, report: Report) -> None:
    """Take in that from now on this thread works on a task for which `flag` says that it is not wanted.

    Args:
        report: takes what its handler says of its progress.
    """
    _cancelled.set(flag)
    _report.set(report)


def call(handler: Handler, task: Task) -> object:
    """Return the handler's result, or the Failure that describes what it raised."""
    try:
        return handler(task)
    except BaseException as error:  # sys.exit() too: it would end the worker, not the program
        return failure_of(error, traceback.format_exc())


def failure_of(error: BaseException, text: str = "") -> Failure:
    """Tell what is sent of an exception: bounded, whatever its own methods say."""
    summary = "".join(traceback.format_exception_only(error)).strip()
    return Failure(summary[:_SUMMARY_CHARS], text[-_TRACEBACK_CHARS:])


__all__ = ["Failure", "Handler", "Task", "begin_with", "call", "failure_of", "is_cancelled", "progress"]
