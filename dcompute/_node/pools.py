"""Where a worker's handler runs: on threads, or in processes that can be ended."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol

from dcompute._log import guarded
from dcompute._node.calling import Failure, Handler, Task, begin_with, call, failure_of

if TYPE_CHECKING:
    from concurrent.futures import Future
    from multiprocessing.connection import Connection

Done = Callable[[object], None]
Report = Callable[[str, float, str], object]  # of a task: how far it is, and in words


class Pool(Protocol):
    """Runs the handler."""

    def execute(self, task: Task, done: Done) -> None:
        """Begin with the task; `done` is called with its result or a Failure."""

    def cancel(self, task_id: str) -> None:
        """Take in that the task at work is not wanted any more."""

    def stop(self) -> None:
        """End once nothing is at work."""


class ThreadPool:
    """So many daemon threads: Ctrl-C ends the program however long a handler would take."""

    def __init__(self, handler: Handler, concurrency: int, report: Report) -> None:
        self._handler = handler
        self._report = report
        self._work: SimpleQueue[tuple[Task, Done] | None] = SimpleQueue()
        self._flags: dict[str, threading.Event] = {}
        self._threads = [
            threading.Thread(target=self._run, name=f"dcompute-worker-{number}", daemon=True)
            for number in range(concurrency)
        ]
        for thread in self._threads:
            thread.start()

    def execute(self, task: Task, done: Done) -> None:
        self._work.put((task, done))

    def cancel(self, task_id: str) -> None:
        if (flag := self._flags.get(task_id)) is not None:
            flag.set()

    def stop(self) -> None:
        for _ in self._threads:
            self._work.put(None)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            task, done = work
            task_id = str(task["id"])
            flag = self._flags[task_id] = threading.Event()
            begin_with(flag, partial(self._report, task_id))
            result = call(self._handler, task)
            self._flags.pop(task_id, None)
            guarded("what a worker does with a result", done, result)


class ProcessPool:
    """So many processes, by pebble: a task can be ended, by its time limit or when it is cancelled.

    They are spawned, not forked: a fork would copy the node's threads' locks and its socket. What they report
    of their progress comes through one pipe, into which what is short is written in one piece: a queue has a
    lock, which one that is ended would take with it.

    A SIGTERM is the node's business: systemd and shells send it to all processes of a service at once, and
    what is at work is to be finished then. So these do nothing on it as long as the node lives, and are
    ended by SIGKILL.
    """

    def __init__(
        self, handler: Handler, concurrency: int, time_limit_s: float | None, report: Report
    ) -> None:
        from dcompute._node.spawned import context  # a node whose handler runs on a thread has no use for it

        try:
            import pebble
        except ImportError:
            from dcompute.extras import install_command

            raise ValueError(f"processes need pebble: {install_command('processes')}") from None
        self._limit_s = time_limit_s
        spawning = context()
        reports, self._reports = spawning.Pipe(duplex=False)
        self._pool: Any = pebble.ProcessPool(
            max_workers=concurrency,
            initializer=_begin,
            initargs=[handler, list(sys.path), os.getcwd(), self._reports],
            context=spawning,
        )
        threading.Thread(
            target=_hand_on, args=(reports, report), name="dcompute-progress", daemon=True
        ).start()
        self._futures: dict[str, Future[Any]] = {}

    def execute(self, task: Task, done: Done) -> None:
        future = self._pool.schedule(_work, args=[task], timeout=self._limit_s)
        self._futures[str(task["id"])] = future
        future.add_done_callback(partial(self._ended, str(task["id"]), done))

    def cancel(self, task_id: str) -> None:
        if (future := self._futures.get(task_id)) is not None:
            future.cancel()

    def stop(self) -> None:
        self._pool.close()
        self._pool.join()
        self._reports.close()

    def _ended(self, task_id: str, done: Done, future: Future[Any]) -> None:
        from concurrent.futures import CancelledError

        from pebble import ProcessExpired

        self._futures.pop(task_id, None)
        try:
            done(future.result())
        except CancelledError:
            done(Failure("Cancelled: its asker has no more use for it"))
        except TimeoutError:
            done(Failure(f"TimeLimit: it took more than {self._limit_s:g} s"))
        except ProcessExpired as error:
            done(Failure(f"ProcessDied: the process that worked on it ended with status {error.exitcode}"))
        except Exception as error:  # what came out of the process cannot be read
            done(failure_of(error))


def _hand_on(reports: Connection, report: Report) -> None:
    while True:
        try:
            said = reports.recv()
        except (EOFError, OSError):
            return
        guarded("what a worker reports", report, *said)


_handler: Handler | None = None
_reports: Connection | None = None


def _begin(handler: Handler, path: list[str], folder: str, reports: Connection) -> None:
    global _handler, _reports
    node = os.getppid()
    # A function, for SIG_IGN would be inherited by what a handler starts.
    signal.signal(signal.SIGTERM, lambda signum, _frame: os.getppid() == node or os._exit(128 + signum))
    sys.path[:] = path
    os.chdir(folder)
    _handler, _reports = handler, reports


def _work(task: Task) -> object:
    assert _handler is not None
    assert _reports is not None
    reports, task_id = _reports, str(task["id"])
    begin_with(None, lambda fraction, text: reports.send((task_id, fraction, text)))
    return call(_handler, task)


__all__ = ["Pool", "ProcessPool", "ThreadPool"]
