"""Processes that do work for this one. Whenever one dies, or all are told to end, nobody waits for ever.

Rules:

1. Each worker has a pipe of its own, and a thread here that waits at its end. Of a worker that dies while it
   answers there comes half an answer, and then the end of the pipe: what it had is broken, and nothing else.
2. Ctrl-C interrupts all processes of a terminal, and workers ignore it: whoever made them ends them. They are
   asked first (SIGTERM, upon which a run ends what it has started), and killed when they take too long or the
   user interrupts again.
3. A worker whose maker is gone reads the end of its pipe, and ends.
4. They are started anew rather than forked: a fork copies locks that threads hold.

Rejected: `concurrent.futures.ProcessPoolExecutor`. Its workers answer through one pipe whose writing end the
maker holds open, too. Of a worker that is interrupted, or killed for want of memory, while it writes there,
half an answer is left; the executor's thread waits for the other half without end, and with it the executor's
shutdown and the interpreter's exit. A hunt that was interrupted while results came hung in 2 of 5 tries. The
same on the way to a worker was https://github.com/python/cpython/issues/94777 (mended in 3.11.5).
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
GRACE_S = 10.0
"""How long workers have to end what they are at before they are killed."""

_NICER = 10


class WorkerProcesses(ThreadPoolExecutor):
    """An executor whose work is done by processes.

    A future whose worker died raises BrokenExecutor; the next piece of work gets a new one.

    Args:
        count: how many.
        nice: they give way to whatever else wants the processor.
    """

    def __init__(self, count: int, *, nice: bool = False) -> None:
        super().__init__(count, thread_name_prefix="worker")
        self._nice = nice
        self._own = threading.local()
        self._lock = threading.Lock()
        self._processes: list[SpawnProcess] = []
        self._ended = False

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Have a worker call `fn`, which a module has by its name."""
        return super().submit(self._carried_out, fn, args, kwargs)

    def end(self) -> None:
        """End all workers, whatever they are at. Whoever waits for them gets BrokenExecutor."""
        self.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            self._ended = True
        try:
            for process in self._processes:
                process.terminate()
            for process in self._processes:
                process.join(GRACE_S)
        finally:
            for process in self._processes:
                process.kill()
                process.join()
            self.shutdown(wait=True)

    def _carried_out(self, fn: Callable[..., R], args: object, kwargs: object) -> R:
        """Have a thread's worker do this, from that thread."""
        if getattr(self._own, "pipe", None) is None:
            self._own.pipe = self._begun()
        pipe: Connection = self._own.pipe
        try:
            pipe.send((fn, args, kwargs))
            done, answer = pipe.recv()
        except (EOFError, OSError):
            pipe.close()
            self._own.pipe = None
            raise BrokenExecutor("a worker process died") from None
        if not done:
            raise answer
        result: R = answer
        return result

    def _begun(self) -> Connection:
        context = multiprocessing.get_context("spawn")
        with self._lock:
            if self._ended:
                raise BrokenExecutor("the workers were ended")
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, self._nice))
            process.start()
            theirs.close()
            self._processes.append(process)
            return ours


def _work(pipe: Connection, nice: bool) -> None:
    """Do what a worker does, until there is nothing more to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    if nice and hasattr(os, "nice"):
        os.nice(_NICER)
    while True:
        try:
            fn, args, kwargs = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer = (True, fn(*args, **kwargs))
        except Exception as error:
            error.add_note(f"In a worker process:\n{traceback.format_exc()}")
            answer = (False, error)
        try:
            pipe.send(answer)
        except OSError:
            return
        except Exception as error:  # nothing is written yet of what cannot be pickled
            pipe.send((False, error))


def _end(signum: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(128 + signum)
