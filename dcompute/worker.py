"""A node's main loop: take the most urgent task, call the handler, send its result or its error, again.

    with ComputeNodeTransport() as node:
        Worker(node, handler).run()

The status is `busy` while there is work and `ready` when there is none. The loop itself is driven by events
and never waits, so that the testbed runs it too, with a handler that takes simulated time.

Users' code may raise anything, return anything and take any time. Each task is answered (what cannot be
sent, by an error that says why), and the next one begun: a worker that stood still while its node says
`ready` would swallow tasks for ever. So nothing that a handler, a value or a callback does may end the
thread; work is noticed on the transport's loop itself, not behind other callbacks; and what describes a
failure is bounded.
"""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from dcompute._log import log
from dcompute._node.calling import Failure, Handler, Task, failure_of, is_cancelled, progress
from dcompute._node.pools import Pool, ProcessPool, ThreadPool
from dcompute.node_core import BUSY, READY
from dcompute.node_transport import ComputeNodeTransport

Done = Callable[[Any], None]
Executor = Callable[[Task, Done], None]


class TaskLoop:
    """So many tasks at a time from the node to `execute` and their results back.

    Args:
        execute: begins the work on a task; calls `done(result)` when it is finished, from any thread. A
            `Failure` for a result says how the task failed.
        concurrency: how many at a time.
    """

    __slots__ = ("_at_work", "_concurrency", "_execute", "_lock", "_node", "_stopped")

    def __init__(
        self,
        node: ComputeNodeTransport,
        execute: Executor,
        concurrency: int = 1,
    ) -> None:
        self._node = node
        self._execute = execute
        self._concurrency = concurrency
        self._lock = threading.Lock()
        self._at_work = 0
        self._stopped = False

    def stop(self) -> None:
        """Begin no further task."""
        self._stopped = True

    @property
    def is_stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped

    def is_idle(self) -> bool:
        """Tell whether nothing is at work."""
        return not self._at_work

    def kick(self) -> None:
        """Look for work, as far as there are hands free."""
        while True:
            with self._lock:
                if self._at_work >= self._concurrency:
                    return
                task = self._next()
                if task is None:
                    return
                self._at_work += 1
            self._begin(task)

    def _next(self) -> Task | None:
        return None if self._stopped else self._node.get_task()

    def _begin(self, task: Task) -> None:
        if self._node.status != BUSY:
            self._node.publish_status(BUSY)
        self._execute(task, partial(self._finish, task))

    def _finish(self, task: Task, result: object) -> None:
        self._send(task, result)
        following = self._next()
        if following is not None:
            self._begin(following)
            return
        with self._lock:
            self._at_work -= 1
            last = not self._at_work
        if last:
            self._node.publish_status(READY)
        self.kick()  # a task may have come between the last look and now

    def _send(self, task: Task, result: object) -> None:
        task_id = task["id"]
        try:
            try:
                if isinstance(result, Failure):
                    self._node.send_failure(result.error, result.traceback, task_id)
                else:
                    self._node.send_result(result, task_id)
            except BaseException as error:  # a value may be of the user's own classes
                why = failure_of(error).error
                name, _, said = why.partition(": ")
                self._node.send_failure(f"{name}: the result cannot be sent: {said}", "", task_id)
        except BaseException:  # no memory, say: this task has no answer, but the next may
            log.exception("task %.200r is not answered", task_id)


class Worker:
    """Runs `handler` for every task, on threads or in processes of its own.

    What the handler raises is sent as the task's error. A task that a FleetExecutor has cancelled while it is
    at work is ended at once in a process; on a thread the handler may look at `is_cancelled()`. With
    `progress(0.4, "frame 4 of 10")` a handler tells it how far it is.

    Args:
        concurrency: tasks at a time.
        isolation: `process`: one that hangs, leaks or crashes the interpreter takes nothing else with it. The
            handler is imported there anew, by its name. Needs the extra `processes`.
        time_limit_s: in a process, after which a task is ended and has failed.
    """

    def __init__(
        self,
        node: ComputeNodeTransport,
        handler: Handler,
        *,
        concurrency: int = 1,
        isolation: Literal["thread", "process"] = "thread",
        time_limit_s: float | None = None,
    ) -> None:
        if time_limit_s is not None and isolation != "process":
            raise ValueError("a time limit needs processes: a thread cannot be ended")
        self._node = node
        self._pool: Pool = (
            ThreadPool(handler, concurrency, node.send_progress)
            if isolation == "thread"
            else ProcessPool(handler, concurrency, time_limit_s, node.send_progress)
        )
        self._loop = TaskLoop(node, self._pool.execute, concurrency=concurrency)
        self._stopped = threading.Event()
        node.set_task_callback(self._loop.kick, inline=True)  # whatever other callbacks do meanwhile
        node.set_cancel_callback(self._pool.cancel)
        self._loop.kick()  # of tasks that came before

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called; a handler that takes long may look, and return early."""
        return self._loop.is_stopped

    def run(self) -> None:
        """Work until `stop`, or until a signal ends the program."""
        while not self._stopped.wait(3600):
            pass

    def drain(self, within_s: float = 30.0) -> bool:
        """Give back to FleetExecutors what waits here, finish what is at work, and let `run` return.

        Returns False if that was not done `within_s`.
        """
        self._node.give_back()
        self._loop.stop()
        end_s = time.monotonic() + within_s
        while not self._loop.is_idle() and time.monotonic() < end_s:
            time.sleep(0.02)
        self._stopped.set()
        return self._loop.is_idle()

    def stop(self) -> None:
        """Finish the tasks at work, leave the others waiting, and let `run` return."""
        self._node.set_task_callback(None)
        self._loop.stop()
        self._pool.stop()
        self._stopped.set()

    def interrupt(self) -> None:
        """Let `run` return; may be called from a signal handler."""
        self._stopped.set()


def load_handler(name: str) -> Handler:
    """Return the function that `package.module:function` names. Raises ValueError saying what is wrong with
    it."""
    module_name, colon, function = name.partition(":")
    if not (module_name and colon and function):
        raise ValueError(f"handler {name!r}: write it as package.module:function")
    try:
        handler = getattr(importlib.import_module(module_name), function)
    except ImportError as error:
        raise ValueError(f"handler {name!r}: cannot import {module_name}: {error}") from None
    except AttributeError:
        raise ValueError(f"handler {name!r}: {module_name} has no {function}") from None
    if not callable(handler):
        raise ValueError(f"handler {name!r} is not a function")
    return handler  # type: ignore[no-any-return]


__all__ = ["Failure", "Handler", "TaskLoop", "Worker", "is_cancelled", "load_handler", "progress"]
