"""What `dcompute top` does: the fleet and the executors' queues as tables, each second, and as metrics."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dcompute._cli.metrics_option import metrics_of
from dcompute._log import printable
from dcompute._mqtt.paho_session import Subscription
from dcompute.executor.queue_state import TELL_S, QueueState, decode_queue
from dcompute.master_transport import MasterNodeTransport
from dcompute.metrics import Sample
from dcompute.protocol import Rejected, Topics, queue_topic

if TYPE_CHECKING:
    from dcompute.records import NodeInfo

Say = Callable[[str], object]
LOOK_S = 1.0
_FORGET_S = 3 * TELL_S  # an executor that has said nothing for so long is gone
_RATE_OVER_S = 10.0


class Queues:
    """What executors said of their queues lately."""

    def __init__(self) -> None:
        self._said: dict[str, list[tuple[float, QueueState]]] = {}  # the newest last

    def take(self, state: QueueState, now_s: float) -> None:
        """Take in that an executor has said this."""
        said = [entry for entry in self._said.get(state.asker, ()) if entry[0] > now_s - _RATE_OVER_S]
        if said and said[-1][1].done > state.done:
            said = []  # started again
        self._said[state.asker] = [*said, (now_s, state)]

    def now(self, now_s: float) -> list[tuple[QueueState, float]]:
        """Return the state of each that is there, and how many tasks it gets done in a second."""
        found = []
        for asker, said in sorted(self._said.items()):
            (first_s, first), (last_s, last) = said[0], said[-1]
            if last_s <= now_s - _FORGET_S:
                del self._said[asker]
                continue
            found.append((last, (last.done - first.done) / (last_s - first_s) if last_s > first_s else 0.0))
        return found


class Watch(MasterNodeTransport):
    """A master that gives no tasks, and hears what executors say of their queues."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._queue_topic = queue_topic(Topics(settings.get("namespace", "")), "+")
        self._queues = Queues()
        self._queues_lock = threading.Lock()

    def queues(self) -> list[tuple[QueueState, float]]:
        """Return each executor that is there, and its tasks in a second."""
        with self._queues_lock:
            return self._queues.now(time.monotonic())

    def link_extras(self) -> Sequence[Subscription]:
        return (*super().link_extras(), (self._queue_topic, 0))

    def link_message(self, topic: str, payload: bytes, retained: bool) -> None:
        before, after = self._queue_topic.split("+")
        if not (topic.startswith(before) and topic.endswith(after)):
            super().link_message(topic, payload, retained)
            return
        try:
            state = decode_queue(payload)
        except Rejected:
            return
        with self._queues_lock:
            self._queues.take(state, time.monotonic())


def top(settings: Mapping[str, object], once: bool, metrics: str, say: Say) -> int:
    """Print the fleet and the queues every second until interrupted; returns the exit status.

    ValueError for settings that are none, and if metrics cannot be served.
    """
    watch = Watch(**settings)
    with metrics_of(metrics, watch, lambda: samples(watch)), watch:
        try:
            began_s = time.monotonic()
            while True:
                time.sleep(LOOK_S)
                if once and time.monotonic() - began_s < TELL_S + LOOK_S:
                    continue  # until each executor has spoken
                if sys.stdout.isatty() and not once and not os.environ.get("NO_COLOR"):
                    say("\x1b[2J\x1b[H" + time.strftime("%H:%M:%S"))
                if watch.last_error:
                    say(watch.last_error)
                for line in (*table(watch.get_node_info()), *queue_table(watch.queues())):
                    say(line)
                if once:
                    return 0
        except KeyboardInterrupt:
            return 130


def samples(watch: Watch) -> Iterator[Sample]:
    """Return the fleet and the queues as metrics."""
    for status, count in sorted(_by_status(watch.get_node_info()).items()):
        yield "fleet_nodes", "nodes of the fleet by status", {"status": status}, count
    for state, _ in watch.queues():
        asker = {"executor": state.asker}
        yield "executor_submitted_total", "executor: tasks submitted so far", asker, state.submitted
        yield "executor_done_total", "executor: tasks over so far", asker, state.done
        yield "executor_failed_total", "executor: tasks without a result so far", asker, state.failed
        yield "executor_waiting", "executor: tasks that wait for a node", asker, state.waiting
        yield "executor_at_nodes", "executor: tasks that nodes have", asker, state.at_nodes
        yield "executor_nodes", "executor: nodes that it sees", asker, state.nodes


def table(nodes: Sequence[NodeInfo]) -> list[str]:
    """Return the fleet as lines of text."""
    rows: list[tuple[str, ...]] = [("NODE", "STATUS", "TYPE", "AT A TIME", "CREDIT", "FUNCTIONS")]
    for info in sorted(nodes, key=lambda info: str(info["node_id"])):
        said = info["capabilities"]
        functions = said.get("functions")
        names = ", ".join(str(name).rpartition(":")[2] for name in functions) if functions else "any"
        at_a_time, credit = str(said.get("concurrency", 1)), str(said.get("credit", "-"))
        cells = (info["node_id"], info["status"], info["device_type"], at_a_time, credit, names)
        rows.append(tuple(map(printable, cells)))
    counts = sorted(_by_status(nodes).items())
    return [*_lines(rows), ", ".join(f"{count} {status}" for status, count in counts) or "no nodes"]


def queue_table(queues: Sequence[tuple[QueueState, float]]) -> list[str]:
    """Return the queues as lines of text."""
    if not queues:
        return ["", "no executors"]
    rows: list[tuple[str, ...]] = [
        ("EXECUTOR", "WAITING", "AT NODES", "DONE", "FAILED", "PER S", "BY PRIORITY")
    ]
    for state, rate in queues:
        priorities = sorted(state.by_priority.items(), key=lambda entry: -int(entry[0]))
        said = ", ".join(f"{priority}: {count:,}" for priority, count in priorities) or "-"
        counts = (state.waiting, state.at_nodes, state.done, state.failed)
        rows.append((state.asker, *(f"{count:,}" for count in counts), f"{rate:,.0f}", said))
    return ["", *_lines(rows)]


def _by_status(nodes: Iterable[NodeInfo]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for info in nodes:
        status = printable(info["status"])
        counts[status] = counts.get(status, 0) + 1
    return counts


def _lines(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
