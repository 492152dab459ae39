"""FleetExecutor: a `concurrent.futures.Executor` whose workers are the nodes of a fleet.

Here is what the asker's threads meet: calls made into tasks, `map`, the fleet as it is seen, the end. What
was promised to them (futures, keys, the journal) is `future_book`'s, who is there `roster`'s. The decisions
are `core`'s, a state machine that `fleet_loop` turns on the driver's loop.
"""

from __future__ import annotations

import atexit
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future
from concurrent.futures import wait as wait_for
from functools import partial
from itertools import count, islice
from pathlib import Path
from types import TracebackType
from typing import Any
from weakref import WeakSet

from dcompute._fork import this_process
from dcompute._log import log
from dcompute._master.registry import Registry
from dcompute._mqtt.paho_session import SessionSettings
from dcompute._mqtt.shared import shared_driver
from dcompute._plural import noun, number_of
from dcompute.drivers import Address, Driver
from dcompute.events import ExecutorObserver
from dcompute.executor.core import FleetCore
from dcompute.executor.fleet_loop import FleetLoop
from dcompute.executor.future import FleetFuture, abandon, ignore, note_progress
from dcompute.executor.future_book import Call, FutureBook
from dcompute.executor.journal import Journal
from dcompute.executor.map_results import MapResults
from dcompute.executor.model import Progress
from dcompute.executor.queue_state import TELL_S, QueueState, QueueTeller, encode_queue
from dcompute.executor.room import Room
from dcompute.executor.roster import Roster
from dcompute.executor.terms import Terms
from dcompute.executor.wire import RESERVED
from dcompute.node_core import DEFAULT_PRIORITY, encode
from dcompute.node_names import check_node_id
from dcompute.protocol import Topics, queue_topic
from dcompute.security import Tls, tls_context

MAX_PENDING = 10_000


class FleetExecutor(Executor):
    """Does work on a fleet of nodes, each task once as far as that can be, whatever dies on the way.

        with FleetExecutor("localhost", journal="work.sqlite") as fleet:
            fleet.wait_for_nodes(8, timeout=30)
            print(fleet.submit("add", 1, 2, priority=9).result())

    All methods may be called from any thread.

    Args:
        broker_host, broker_port: where the broker is.
        journal: a file (or an open Journal) that makes an executor which was killed go on where it was, when
            it is started again with the same file. Without one, what is not done is lost with the process.
        durable: the journal survives power loss too, at the price of an fsync for each batch.
        name: who asks (`from` on the wire), unique among all that ask at this broker; None takes the
            journal's, or a new one.
        settle_s: how long a node that is gone may take to come back before its tasks are done elsewhere.
        resend_s: after how long without an answer a task is sent again, and after twice that, and so on.
        losses: how many attempts of a task may end without a trace before it is Quarantined.
        max_pending: how many tasks may be on their way before `submit` waits, those of less priority not
            counted; it is never less than twice what the nodes take at a time. None: any number.
        tell_s: how often it says what its queue is, for `dcompute top`; 0: never.
        observer: is told what happens (`dcompute.events`), on the loop; must not block.
        core_class: the state machine that decides which task goes where.
        username, password, tls, keepalive, namespace, liveness_s, probe_s, driver: as of MasterNodeTransport.

    Raises:
        ValueError: for a bad name, namespace, keepalive or TLS file.
        JournalError: the journal is damaged, or another process has it open.
    """

    def __init__(
        self,
        broker_host: str = "localhost",
        broker_port: int = 1883,
        *,
        journal: str | Path | Journal | None = None,
        durable: bool = False,
        name: str | None = None,
        settle_s: float = 2.0,
        resend_s: float = 15.0,
        losses: int = 5,
        max_pending: int | None = MAX_PENDING,
        tell_s: float = TELL_S,
        username: str | None = None,
        password: str | None = None,
        tls: bool | Tls | ssl.SSLContext | None = None,
        keepalive: int = 60,
        namespace: str = "",
        liveness_s: float | None = None,
        probe_s: float | None = None,
        driver: Driver | None = None,
        observer: ExecutorObserver | None = None,
        core_class: type[FleetCore] = FleetCore,
    ) -> None:
        self._driver = driver or shared_driver()
        self._room = Room(self._driver, max_pending)
        topics = Topics(namespace)
        new_name = check_node_id(name or f"x-{self._driver.random.getrandbits(48):012x}")
        address = Address(broker_host, broker_port, tls_context(tls))
        self._journal = Journal(journal, durable=durable) if isinstance(journal, (str, Path)) else journal
        self.name = _name_in(self._journal, new_name, is_wanted=name is not None)
        self._book = FutureBook(self._driver, self._journal, self._room, self._cancel)
        self._roster = Roster(self._room.fleet_takes)
        self._core = core_class(settle_s=settle_s, resend_s=resend_s, losses=losses)
        self._registry = Registry(liveness_s=liveness_s, probe_s=probe_s)
        self._loop = FleetLoop(
            self._driver,
            address,
            SessionSettings(f"executor-{self.name}"[:64], keepalive, username, password),
            self.name,
            topics,
            self._core,
            self._journal,
            self._registry,
            over=self._book.over,
            node_changed=self._roster.changed,
            nothing_left=self._nothing_left,
            progressed=self._progressed,
            died=self._died,
            observer=observer,
        )
        self._unread_maps: set[MapResults] = set()  # no result was asked for
        self._maps: WeakSet[MapResults] = WeakSet()
        self._on_deaths: Callable[[list[str]], object] | None = None
        self._ends_by_itself = False  # nobody waits to close it
        self._queue_topic = queue_topic(topics, self.name)
        self._teller = QueueTeller(self._driver, self._tell_queue, tell_s)
        self._recover()
        self._loop.start()
        self._teller.start()
        self._pid = this_process()
        if driver is None:
            _open.add(self)

    # --- work -----------------------------------------------------------------------------------------------

    def submit(  # type: ignore[override]
        self,
        fn: str | Callable[..., Any],
        /,
        *args: Any,
        priority: int = DEFAULT_PRIORITY,
        where: Mapping[str, object] | None = None,
        timeout: float | None = None,
        retries: int | None = None,
        once: bool = False,
        speculate: float | None = None,
        key: str | None = None,
        **kwargs: Any,
    ) -> FleetFuture:
        """Have `fn(*args, **kwargs)` done by some node.

        Args:
            fn: the name of a function that nodes know, or an importable function: Python nodes run functions
                of the modules they were started with, and nothing else.
            args, kwargs: JSON values.
            priority: 1 to 10; 10 is the most urgent.
            where: what the node must announce: `{"device_type": "ESP32"}`, `{"tags": ["gpu", "tpu"]}` (any of
                these), `{"memory": {"min": 4}}`, `{"node_id": "n1"}`.
            timeout: seconds after which the result is of no use; it is then Expired.
            retries: how often it is tried again after it failed or its node was lost. None: not after a
                failure, and after losses until it is Quarantined.
            once: run it at most once, whatever happens: where that cannot be known it is OutcomeUnknown.
            speculate: seconds after which, if its node has not answered, it is tried on another one as well;
                the first result counts. Not with `once`.
            key: a name for this task. With a journal, the same key after a restart is the same task, and its
                result stays until `forget(key)`.

        Raises:
            ValueError: for what no message can carry, or another task under this key. JournalError: it could
            not be written down. RuntimeError: after `shutdown`. Backlogged: on the driver's own loop, where
            it cannot wait, when there are `max_pending` tasks.
        """
        fields: dict[str, object] = {"function": function_name(fn), "args": list(args)}
        if kwargs:
            fields["kwargs"] = kwargs
        return self.submit_task(
            fields,
            key=key,
            priority=priority,
            where=where,
            timeout=timeout,
            retries=retries,
            once=once,
            speculate=speculate,
        )

    def submit_task(
        self, fields: Mapping[str, Any], *, key: str | None = None, **options: Any
    ) -> FleetFuture:
        """Have a task done that is none of `submit`'s form: `fields` are what the node's handler gets.

        Takes the same options as `submit`, and raises the same.
        """
        return self._submit_all([(key, fields)], **options)[0]

    def map(  # type: ignore[override]
        self,
        fn: str | Callable[..., Any],
        /,
        *iterables: Iterable[object],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
        key: str | None = None,
        **options: Any,
    ) -> MapResults:
        """Return the results of `fn` for the items of the iterables, in order.

        The iterables are read here, when results are taken from what this returns, and at `shutdown`: so all
        is done, also if nobody takes the results, and an iterable may be endless. Dropping the iterator, or
        its `close`, in the midst cancels the rest.

        Args:
            timeout: seconds from now after which TimeoutError is raised, as of `Executor.map`.
            chunksize: calls in one task; nodes that were started with `--functions` understand more than one.
            buffersize: how many tasks may be ahead of the results taken; None: `max_pending`.
            key: a name for the whole; each task has it with its number.
            options: as of `submit`, but for its timeout.
        """
        name = function_name(fn)
        if chunksize < 1 or (buffersize is not None and buffersize < 1):
            raise ValueError("chunksize and buffersize are at least 1")
        calls = map(list, zip(*iterables, strict=False))
        tasks: Iterator[dict[str, object]]
        if chunksize > 1:
            chunks = iter(lambda: list(islice(calls, chunksize)), [])
            tasks = ({"function": name, "calls": chunk} for chunk in chunks)
        else:
            tasks = ({"function": name, "args": call} for call in calls)
        keys = (None if key is None else f"{key}/{number}" for number in count())
        results = MapResults(
            zip(keys, tasks, strict=False),
            lambda work: self._submit_all(work, **options),
            lambda: buffersize or self._room.limit() or MAX_PENDING,
            None if timeout is None else time.monotonic() + timeout,
            in_chunks=chunksize > 1,
            begun=self._unread_maps.discard,
        )
        if not results.is_read():
            self._maps.add(results)
            self._unread_maps.add(results)
        return results

    def reissue(self, future: Future[Any]) -> None:
        """Try a straggler on another node as well; the first result counts. Not for `once`."""
        assert isinstance(future, FleetFuture)
        self._loop.later(lambda now_s: self._core.reissue(future.task_id, now_s))

    def recovered(self) -> dict[str, FleetFuture]:
        """Tell what the journal brought back: by task id the tasks without a key whose results were not
        taken."""
        return self._book.recovered()

    def forget(self, key: str) -> None:
        """Drop the result of the task of this key, or of all of the `map` of this key."""
        self._book.forget(key)

    def _submit_all(
        self, work: list[tuple[str | None, Mapping[str, Any]]], **options: Any
    ) -> list[FleetFuture]:
        terms = Terms(**options)
        calls = [Call(key, _body(fields), fields.get("function")) for key, fields in work]
        futures, tasks = self._book.accept(calls, terms)
        self._loop.later(lambda now_s: self._core.submit(*tasks, now_s=now_s))
        return futures

    def _cancel(self, task_id: str) -> None:
        self._loop.later(lambda now_s: self._core.cancel(task_id, now_s))

    # --- the fleet ----------------------------------------------------------------------------------------

    def nodes(self, where: Mapping[str, object] | None = None) -> dict[str, Mapping[str, object]]:
        """Tell what the living nodes announce, by node id."""
        return self._roster.nodes(where or {})

    def wait_for_nodes(
        self, count: int = 1, timeout: float | None = None, where: Mapping[str, object] | None = None
    ) -> int:
        """Wait until so many nodes are there; returns how many are.

        Raises:
            TimeoutError: they were not there in time; it says how many were, and why none if there is no
            broker.
        """
        found = self._roster.wait_for(count, timeout, where or {})
        if found < count:
            why = f" ({self.last_error})" if self.last_error else ""
            raise TimeoutError(
                f"{found} of {number_of(count, 'node')} {noun(found, 'is', 'are')} there "
                f"after {timeout:g} s{why}"
            )
        return found

    def set_dead_nodes_callback(self, callback: Callable[[list[str]], object] | None) -> None:
        """Call `callback([node ids])`, once for each death, on the thread of the other callbacks.

        Nothing has to be done about it: the tasks are done elsewhere. A node that goes offline counts too.
        With a journal, a node that died while neither this nor the broker was there to notice is missed, and
        named once it has been silent for its bound.
        """
        self._on_deaths = callback

    @property
    def last_error(self) -> str:
        """Why nothing goes on: the link is not up, the journal cannot be written, what is sent to a node
        seems to be denied by the broker's access rules, or a task waits that no node which is there can do;
        else ""."""
        return self._loop.last_error

    def is_connected(self) -> bool:
        """Connected and subscribed."""
        return self._loop.is_connected()

    def counters(self) -> dict[str, int]:
        """Tell how many tasks were submitted, are over, and are so without a result (but for cancelled ones);
        how many wait, and are at nodes; how many nodes there are."""
        waiting, placed = self._core.waiting(), len(self._core.tasks)
        return {
            **self._book.counts(),
            "waiting": waiting,
            "at_nodes": max(0, placed - waiting),
            "nodes": len(self._roster.ready),
        }

    def _tell_queue(self) -> None:
        """Tell the same to those who watch."""
        state = QueueState(self.name, by_priority=self._room.by_priority(), **self.counters())
        self._loop.say(self._queue_topic, encode_queue(state))

    # --- the end ------------------------------------------------------------------------------------------

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work, and disconnect once what there is is done.

        Args:
            wait: return only then; calls of a `map` that were not read yet are part of it.
            cancel_futures: cancel what is not done.
        """
        unread = [results for results in self._maps if not results.is_read()]
        if unread and not self._book.is_shut and (cancel_futures or not wait):
            log.warning(
                "executor: shut down amid %s: further calls are not done", number_of(len(unread), "map")
            )
        elif not self._book.is_shut:
            for results in unread:
                results.submit_rest()
        pending = self._book.shut()
        self._ends_by_itself = not wait
        if cancel_futures:
            for future in pending:
                future.cancel()
        self._loop.later(lambda _now_s: None)
        if wait:
            wait_for(pending)
            self.close()

    def close(self, timeout_s: float = 2.0) -> None:
        """Disconnect at once. What is not done stays in the journal, if there is one; its futures are
        cancelled here. May be called again without effect."""
        if not self._book.close():
            return
        self._room.open()
        self._teller.stop()
        self._loop.close(timeout_s)  # a cancel that has just been asked for is written down
        self._book.forget_taken()
        if self._journal is not None:
            self._journal.close()
        _open.discard(self)
        undone = self._book.undone()
        for future in undone:
            abandon(future)
        if undone:
            they = noun(len(undone), "it is", "they are")
            kept = "lost" if self._journal is None else f"in the journal {self._journal.path}"
            log.warning(
                "executor: closed with %s not done: %s %s", number_of(len(undone), "task"), they, kept
            )

    def __enter__(self) -> FleetExecutor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self.close()  # who interrupts does not want to wait
        if kind is not None:
            for results in list(self._maps):
                results.read_no_more()
        self.shutdown(wait=not self._book.is_closed)
        return None

    # --- what the loop tells --------------------------------------------------------------------------------

    def _progressed(self, progress: Progress) -> None:
        future = self._book.of(progress.task_id)
        if future is not None:
            note_progress(future, progress.fraction, progress.text)

    def _died(self, node_id: str) -> None:
        callback = self._on_deaths
        if callback is not None:
            self._driver.deliver(partial(ignore, callback, [node_id]))

    def _nothing_left(self) -> None:
        if self._ends_by_itself and not self._book.is_closed:
            self._driver.deliver(self.close)

    def _recover(self) -> None:
        """Take up what the journal has."""
        if self._journal is None:
            return
        for node, life, top in self._journal.counters():
            self._core.restore_counter(node, life, top)
        placed = self._journal.placed()
        self._registry.restore(self._journal.nodes())
        for task in self._book.restore(self._journal):
            self._core.restore(task, placed.get(task.id, []))


_open: WeakSet[FleetExecutor] = WeakSet()  # on the shared driver


@atexit.register
def _close_all() -> None:
    """Say of programs that end without `with` or `shutdown` what they leave undone."""
    for fleet in list(_open):
        if fleet._pid == this_process():
            fleet.close()


def _name_in(journal: Journal | None, name: str, *, is_wanted: bool) -> str:
    """Return the name that a journal is written under, in a new one `name`.

    ValueError, with the journal closed, when it is another than the one that is wanted.
    """
    if journal is None:
        return name
    written = journal.name(name)
    if is_wanted and written != name:
        journal.close()
        raise ValueError(f"journal {journal.path}: it is that of {written!r}, not of {name!r}")
    return written


def function_name(fn: str | Callable[..., Any]) -> str:
    """Tell how nodes know `fn`: a name as it is, an importable function as `module:name`. ValueError for
    others."""
    if isinstance(fn, str):
        return fn
    module, name = getattr(fn, "__module__", None), getattr(fn, "__qualname__", "")
    if not module or module == "__main__" or "<" in name or not name:
        raise ValueError(f"{fn!r} is not importable by nodes: put it into a module, or give its name")
    return f"{module}:{name}"


def _body(fields: Mapping[str, object]) -> bytes:
    if not RESERVED.isdisjoint(fields):
        name = min(RESERVED.intersection(fields))
        raise ValueError(f"a task's own field {name!r}: that is a word of the protocol")
    return encode(dict(fields))


__all__ = ["FleetExecutor", "function_name"]
