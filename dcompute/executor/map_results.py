"""The results of a `map`, whose calls are read and submitted as they are needed.

Rules
1. The iterables are read by whoever asks for results, in their thread: what a database's cursor or a
   generator of theirs gives may be of use nowhere else. Nothing is read on a thread of ours.
2. So many calls are ahead of the results taken; an endless iterable has its place, and a long one no cost.
3. Nobody needs to take results for the work to be done: what was not read when the executor is shut down in
   peace is read and submitted then (`submit_rest`), as the calls of a `concurrent.futures` map are.
4. Whoever stops in the midst of it (`close`, or no reference left) wants the rest no more: it is cancelled.
   One from which no result was ever taken is not given up by being dropped.

`Executor.map` of Python 3.14 can be told a `buffersize`, and reads all at once if it is not. Here there is a
bound in any case: a fleet is for more work than a machine holds.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from dcompute.executor.future import FleetFuture

Submit = Callable[[list[Any]], list[FleetFuture]]
AT_ONCE = 256  # calls in one commit of a journal


class MapResults(Iterator[Any]):
    """Gives the results in the order of the calls.

    Args:
        calls: what `submit` takes, one for each task.
        ahead: how many tasks may be ahead of the results taken; asked each time.
        end_s: on the monotonic clock, after which TimeoutError is raised.
        in_chunks: a task's result is a list of them.
        begun: told when the first result is asked for.
    """

    def __init__(
        self,
        calls: Iterator[Any],
        submit: Submit,
        ahead: Callable[[], int],
        end_s: float | None,
        *,
        in_chunks: bool,
        begun: Callable[[MapResults], object],
    ) -> None:
        self._calls: Iterator[Any] | None = calls
        self._submit = submit
        self._ahead = ahead
        self._end_s = end_s
        self._in_chunks = in_chunks
        self._begun: Callable[[MapResults], object] | None = begun
        self._futures: deque[FleetFuture] = deque()
        self._chunk: deque[Any] = deque()
        self._fill()

    def __next__(self) -> Any:
        if self._begun is not None:
            begun, self._begun = self._begun, None
            begun(self)
        while not self._chunk:
            self._fill()
            if not self._futures:
                raise StopIteration
            left_s = None if self._end_s is None else max(0.0, self._end_s - time.monotonic())
            try:
                value = self._futures.popleft().result(left_s)
            except BaseException:
                self.close()
                raise
            if not self._in_chunks:
                return value
            self._chunk.extend(value)
        return self._chunk.popleft()

    def close(self) -> None:
        """Cancel what no result was taken of, and read no more."""
        self.read_no_more()
        while self._futures:
            self._futures.popleft().cancel()

    def __del__(self) -> None:
        if self._begun is None:
            self.close()

    def submit_rest(self) -> None:
        """Read and submit what is left; takes as long as the executor has no room for it."""
        while self._calls is not None:
            self._read(self._few())

    def read_no_more(self) -> None:
        """Leave it at the calls that are submitted."""
        self._calls = None

    def is_read(self) -> bool:
        """Tell whether all calls are submitted, or given up."""
        return self._calls is None

    def _fill(self) -> None:
        few = self._few()
        while self._calls is not None and len(self._futures) <= self._ahead() - few:
            self._read(few)

    def _few(self) -> int:
        """Tell how many calls to read at once: not one by one, as each time is a commit of the journal."""
        return max(1, min(AT_ONCE, self._ahead() // 4))

    def _read(self, count: int) -> None:
        assert self._calls is not None
        try:
            calls = list(islice(self._calls, count))
        except BaseException:  # the iterable's
            self.close()
            raise
        if len(calls) < count:
            self._calls = None
        if calls:
            self._futures.extend(self._submit(calls))
