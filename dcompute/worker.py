"""A node's main loop: take the most urgent task, call the handler, send its result or its error, again.

    with ComputeNodeTransport() as node:
        Worker(node, handler).run()

The status is `busy` while there is work and `ready` when there is none. The loop itself is driven by events
and never waits, so that the testbed runs it too, with a handler that takes simulated time.
"""

from __future__ import annotations

import importlib
import threading
import traceback
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any

from dcompute.node_core import BUSY, READY
from dcompute.node_transport import ComputeNodeTransport

Task = dict[str, Any]
Handler = Callable[[Task], Any]
Done = Callable[[Any], None]
Executor = Callable[[Task, Done], None]


class TaskLoop:
    """One task at a time from the node to `execute` and its result back.

    Args:
        execute: begins the work on a task; calls `done(result)` when it is finished, from any thread.
        on_finished: is told (task, result) after each.
    """

    def __init__(
        self,
        node: ComputeNodeTransport,
        execute: Executor,
        on_finished: Callable[[Task, Any], None] | None = None,
    ) -> None:
        self._node = node
        self._execute = execute
        self._on_finished = on_finished
        self._lock = threading.Lock()
        self._working = False
        self._stopped = False

    @property
    def is_stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped

    def stop(self) -> None:
        """Begin no further task."""
        self._stopped = True

    def kick(self) -> None:
        """Look for work, unless at work."""
        with self._lock:
            if self._working:
                return
            task = self._next()
            if task is None:
                return
            self._working = True
        self._begin(task)

    def _next(self) -> Task | None:
        return None if self._stopped else self._node.get_task()

    def _begin(self, task: Task) -> None:
        if self._node.status != BUSY:
            self._node.publish_status(BUSY)
        self._execute(task, partial(self._finish, task))

    def _finish(self, task: Task, result: Any) -> None:
        if self._on_finished is not None:
            self._on_finished(task, result)
        self._send(task, result)
        following = self._next()
        if following is not None:
            self._begin(following)
            return
        self._node.publish_status(READY)
        with self._lock:
            self._working = False
        self.kick()  # a task may have come between the last look and now

    def _send(self, task: Task, result: Any) -> None:
        try:
            self._node.send_result(result, task["id"])
        except ValueError as error:
            self._node.send_result({"error": f"the result cannot be sent: {error!s:.500}"}, task["id"])


class Worker:
    """Runs `handler` for every task, in one thread of its own.

    What the handler raises is sent as the result `{"error": ..., "traceback": ...}`.
    """

    def __init__(self, node: ComputeNodeTransport, handler: Handler) -> None:
        self._node = node
        self._handler = handler
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        # A daemon, so that Ctrl-C ends the program however long the handler would take.
        self._thread = threading.Thread(target=self._run, name="dcompute-worker", daemon=True)
        self._thread.start()
        self._loop = TaskLoop(node, self._execute)
        self._stopped = threading.Event()
        node.set_task_callback(self._loop.kick)
        self._loop.kick()  # of tasks that came before

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called; a handler that takes long may look, and return early."""
        return self._loop.is_stopped

    def run(self) -> None:
        """Work until `stop`, or until a signal ends the program."""
        while not self._stopped.wait(3600):
            pass

    def stop(self) -> None:
        """Finish the task at work, leave the others waiting, and let `run` return."""
        self._node.set_task_callback(None)
        self._loop.stop()
        self._work.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join()
        self._stopped.set()

    def _execute(self, task: Task, done: Done) -> None:
        self._work.put(lambda: done(call(self._handler, task)))

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()


def call(handler: Handler, task: Task) -> Any:
    """The handler's result, or what describes its failure."""
    try:
        return handler(task)
    except BaseException as error:  # sys.exit() too: it would end the worker, not the program
        summary = "".join(traceback.format_exception_only(error)).strip()
        return {"error": summary, "traceback": traceback.format_exc()}


def load_handler(name: str) -> Handler:
    """The function that `package.module:function` names. Raises ValueError saying what is wrong with it."""
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
