# mypy: ignore-errors
# `_asyncio`, the scheduler's data structures, in Python: the port's own reads the machine's clock behind our
# back. Fields and values are those that asyncio/core.py reads and writes.
import sys
import time

core = None  # asyncio.core, which imports this module first


def _core():
    global core
    core = core or sys.modules["asyncio.core"]
    return core


class TaskQueue:
    # Sorted by time, first in first out within one.
    def __init__(self):
        self._waiting = []

    def peek(self):
        return self._waiting[0] if self._waiting else None

    def push(self, task, key=None):
        task.data = None
        task.ph_key = time.ticks_ms() if key is None else key
        waiting = self._waiting
        at = len(waiting)
        while at and time.ticks_diff(waiting[at - 1].ph_key, task.ph_key) > 0:
            at -= 1
        waiting.insert(at, task)

    def pop(self):
        return self._waiting.pop(0)

    def remove(self, task):
        self._waiting.remove(task)


class Task:
    # `state`: True running, False finished and awaited, None finished, a TaskQueue of those who await it.
    def __init__(self, coro, globals=None):
        self.coro = coro
        self.data = None
        self.state = True
        self.ph_key = 0

    def __iter__(self):
        if not self.state:
            self.state = False
        elif self.state is True:
            self.state = TaskQueue()
        elif not isinstance(self.state, TaskQueue):
            raise RuntimeError("can't wait")
        return self

    def __next__(self):
        if not self.state:
            raise self.data
        waiter = _core().cur_task
        self.state.push(waiter)
        waiter.data = self

    def done(self):
        return not self.state

    def cancel(self):
        if not self.state:
            return False
        task = self
        if task is _core().cur_task:
            raise RuntimeError("can't cancel self")
        while isinstance(task.data, Task):
            task = task.data
        if hasattr(task.data, "remove"):
            task.data.remove(task)
            core._task_queue.push(task)
        elif time.ticks_diff(task.ph_key, time.ticks_ms()) > 0:
            core._task_queue.remove(task)
            core._task_queue.push(task)
        task.data = core.CancelledError
        return True
