"""FleetExecutor over a real broker: what a user of `concurrent.futures` expects, and what may die on the
way."""

from __future__ import annotations

import asyncio
import itertools
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, as_completed
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

import pytest

from dcompute.executor import (
    Expired,
    FleetExecutor,
    JournalError,
    OutcomeUnknown,
    Quarantined,
    Refused,
    TaskFailed,
)
from dcompute.executor.journal import Journal, Row
from dcompute.functions import Functions
from dcompute.node_transport import ComputeNodeTransport
from dcompute.parts import MqttLink
from dcompute.worker import Worker, is_cancelled, load_handler, progress

from ..conftest import PATIENCE_S
from .conftest import Eventually, Served

_namespaces = itertools.count()

WORK = """
import os, sys, time
from dcompute import progress
def add(*numbers):
    return sum(numbers)
def slowly(seconds, value):
    time.sleep(seconds)
    return value
def fail(text):
    raise KeyError(text)
def die():
    os._exit(3)
def note(path, name, seconds=0.0):
    with open(path, "a") as file:
        file.write(name + "\\n")
    time.sleep(seconds)
    return name
def big(size):
    return "x" * size
def steps(seconds):
    for step in range(3):
        progress(step / 4, f"step {step}")
        time.sleep(seconds)
"""


class Rig:
    """Executors and nodes of one test, in a namespace of their own."""

    def __init__(self, port: int, folder: Path) -> None:
        self.port = port
        self.namespace = f"x{next(_namespaces)}"
        self.folder = folder
        (folder / "work.py").write_text(WORK)
        self._end: list[Callable[[], object]] = []

    def executor(self, **options: Any) -> FleetExecutor:
        settings: dict[str, Any] = {"settle_s": 0.2, "namespace": self.namespace, **options}
        fleet = FleetExecutor("127.0.0.1", self.port, **settings)
        self._end.append(lambda: fleet.shutdown(wait=False, cancel_futures=True))
        self._end.append(fleet.close)
        return fleet

    def node(self, handler: Any = None, concurrency: int = 1, **options: Any) -> ComputeNodeTransport:
        """A node in this process."""
        settings: dict[str, Any] = {"namespace": self.namespace, "install_signal_handlers": False, **options}
        node = ComputeNodeTransport("127.0.0.1", self.port, f"n{len(self._end)}", **settings)
        self._end.append(node.kill)
        assert node.start(timeout_s=PATIENCE_S), node.last_error
        if handler is not False:
            Worker(node, handler or Functions(["work"]), concurrency=concurrency)
        return node

    def process(self, name: str, *options: str) -> subprocess.Popen[bytes]:
        """A node in a process of its own."""
        command = [sys.executable, "-m", "dcompute", "node", "--functions", "work", "--node-id", name]
        command += ["--broker", f"mqtt://127.0.0.1:{self.port}", "--namespace", self.namespace]
        process = subprocess.Popen(
            [*command, *options], cwd=self.folder, stdout=DEVNULL, stderr=DEVNULL, start_new_session=True
        )
        self._end += [process.wait, process.kill]
        return process

    def end(self) -> None:
        for call in reversed(self._end):
            call()


@pytest.fixture
def make_rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], Rig]]:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "work", raising=False)
    made: list[Rig] = []

    def make(port: int) -> Rig:
        made.append(Rig(port, tmp_path))
        return made[-1]

    yield make
    for rig in made:
        rig.end()


@pytest.fixture
def rig(mosquitto: Served, make_rig: Callable[[int], Rig]) -> Rig:
    return make_rig(mosquitto.port)


def test_submit_map_and_what_goes_with_futures(rig: Rig) -> None:
    rig.node()
    rig.node(concurrency=2)
    with rig.executor() as fleet:
        assert fleet.wait_for_nodes(2, timeout=PATIENCE_S) == 2
        assert fleet.submit("add", 1, 2, priority=9).result(PATIENCE_S) == 3
        assert fleet.submit("work:add", 1).result(PATIENCE_S) == 1
        assert list(fleet.map("add", range(50), range(50))) == list(range(0, 100, 2))
        assert list(fleet.map("add", range(50), [1] * 50, chunksize=20)) == list(range(1, 51))
        futures = [fleet.submit("add", n) for n in range(10)]
        assert sorted(future.result() for future in as_completed(futures, 10)) == list(range(10))
        assert asyncio.run(_awaited(fleet)) == 7
        called = threading.Event()
        fleet.submit("add", 1).add_done_callback(lambda future: called.set())
        assert called.wait(PATIENCE_S)
        assert fleet.counters()["waiting"] == 0
        endless = fleet.map("add", itertools.count(), buffersize=4)
        assert [next(endless) for _ in range(40)] == list(range(40))
        endless.close()
        unread = fleet.map("add", range(30), buffersize=2)
        submitted = fleet.counters()["submitted"]
    assert fleet.counters()["submitted"] == submitted + 28, "and done, though nobody took a result"
    assert list(unread) == list(range(30))
    with pytest.raises(RuntimeError, match="shutdown"):
        fleet.submit("add", 1)


@pytest.mark.parametrize("tasks", [0, 1])
def test_who_does_not_wait_for_the_end_is_disconnected_when_all_is_done(
    rig: Rig, tasks: int, eventually: Eventually
) -> None:
    rig.node()
    fleet = rig.executor()
    eventually(fleet.is_connected)
    futures = [fleet.submit("add", 1) for _ in range(tasks)]
    fleet.shutdown(wait=False)
    eventually(lambda: not fleet.is_connected())
    assert [future.result(0) for future in futures] == [1] * tasks


@pytest.mark.parametrize("journal", [None, "work.sqlite"])
@pytest.mark.parametrize("end", ["", "fleet.close()", "raise RuntimeError('a fault of the script')"])
def test_a_program_that_ends_says_what_it_leaves_undone(
    tmp_path: Path, end: str, journal: str | None
) -> None:
    script = f"""
from dcompute import FleetExecutor
fleet = FleetExecutor("127.0.0.1", 1, journal={journal!r})
for number in range(7):
    fleet.submit("add", number)
{end}
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == end.startswith("raise")
    where = "lost" if journal is None else f"in the journal {journal}"
    assert f"closed with 7 tasks not done: they are {where}" in done.stderr


async def _awaited(fleet: FleetExecutor) -> Any:
    return await asyncio.wrap_future(fleet.submit("add", 3, 4))


def test_a_function_is_named_by_where_it_is_imported_from(rig: Rig) -> None:
    import work  # type: ignore[import-not-found]

    rig.node()
    with rig.executor() as fleet:
        assert fleet.submit(work.add, 2, 3).result(PATIENCE_S) == 5
        with pytest.raises(ValueError, match="not importable"):
            fleet.submit(lambda: 1)
        with pytest.raises(ValueError, match="set is not a JSON value"):
            fleet.submit("add", {1})
        with pytest.raises(ValueError, match="priority"):
            fleet.submit("add", priority=11)


def test_a_failure_has_the_traceback_of_the_node(rig: Rig) -> None:
    rig.node()
    with rig.executor() as fleet:
        with pytest.raises(TaskFailed, match="KeyError: 'mind the gap'") as caught:
            fleet.submit("fail", "mind the gap").result(PATIENCE_S)
        assert (caught.value.type, caught.value.node[0]) == ("KeyError", "n")
        assert "work.py" in caught.value.traceback
        with pytest.raises(TaskFailed, match="cannot be sent"):
            fleet.submit("big", 300_000).result(PATIENCE_S)


def test_retries_are_tried(rig: Rig) -> None:
    tried: list[int] = []

    def handler(task: dict[str, Any]) -> int:
        tried.append(task["attempt"])
        if len(tried) < 3:
            raise OSError("not yet")
        return 7

    rig.node(handler)
    with rig.executor() as fleet:
        assert fleet.submit("f", retries=3).result(PATIENCE_S) == 7
        assert tried == [1, 2, 3]
        tried[:] = [-9]
        with pytest.raises(TaskFailed):
            fleet.submit("f", retries=0).result(PATIENCE_S)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"where": {"memory": {"mn": 4}}}, "where 'memory'"),
        ({"where": {"memory": {"min": "4"}}}, "where 'memory'"),
        ({"retries": -1}, "retries is at least 0"),
        ({"retries": "3"}, "retries is a number"),
        ({"timeout": "5"}, "timeout is a number"),
        ({"once": True, "speculate": 3}, "no `speculate`"),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(rig: Rig, options: dict[str, Any], why: str) -> None:
    with rig.executor() as fleet, pytest.raises(ValueError, match=why):
        fleet.submit("f", **options)


def test_last_error_names_a_task_that_no_node_can_do(rig: Rig, eventually: Eventually) -> None:
    rig.node(lambda _task: None)
    with rig.executor() as fleet:
        fleet.wait_for_nodes(1, timeout=PATIENCE_S)
        lost = fleet.submit("f", where={"device_type": "ESP23"})
        eventually(lambda: "no node that is there can do task" in fleet.last_error)
        lost.cancel()
        eventually(lambda: not fleet.last_error)


def test_the_most_urgent_goes_first_and_nobody_has_more_than_its_credit(
    rig: Rig, eventually: Eventually
) -> None:
    order: list[int] = []
    go = threading.Event()

    def handler(task: dict[str, Any]) -> None:
        go.wait(2 * PATIENCE_S)
        order.append(task["args"][0])

    node = rig.node(handler, credit=2)
    with rig.executor() as fleet:
        fleet.wait_for_nodes(1, timeout=PATIENCE_S)
        futures = [fleet.submit("f", n, priority=1) for n in range(2)]
        eventually(lambda: fleet.counters()["at_nodes"] == 2)
        futures += [fleet.submit("f", n, priority=n % 10 + 1) for n in range(2, 30)]
        assert node.counters()["tasks_waiting"] <= 2
        assert fleet.counters()["at_nodes"] == 2
        go.set()
        for future in futures:
            future.result(PATIENCE_S)
    rest = [n % 10 for n in order if n >= 2]  # the second may have been overtaken by more urgent ones
    assert rest == sorted(rest, reverse=True)


def test_where_follows_what_nodes_announce(rig: Rig) -> None:
    small = rig.node(lambda task: "small", capabilities={"memory": 1, "tags": ["near"]})
    rig.node(lambda task: "large", capabilities={"memory": 8, "tags": ["far", "gpu"]})
    with rig.executor() as fleet:
        fleet.wait_for_nodes(2, timeout=PATIENCE_S)
        assert set(fleet.map("f", range(8), where={"memory": {"min": 4}})) == {"large"}
        assert fleet.submit("f", where={"tags": ["near", "nowhere"]}).result(PATIENCE_S) == "small"
        assert fleet.submit("f", where={"node_id": small.node_id}).result(PATIENCE_S) == "small"
        assert list(fleet.nodes({"tags": "gpu"})) != [small.node_id]
        with pytest.raises(Expired):
            fleet.submit("f", where={"tags": "no such"}, timeout=0.2).result(PATIENCE_S)


def test_what_is_cancelled_waits_no_more_and_is_told_to_the_handler(rig: Rig) -> None:
    seen = threading.Event()
    begun = threading.Event()

    def handler(task: dict[str, Any]) -> None:
        begun.set()
        while not is_cancelled():
            time.sleep(0.005)
        seen.set()

    rig.node(handler)
    with rig.executor() as fleet:
        running, waiting = fleet.submit("f"), fleet.submit("f")
        assert begun.wait(PATIENCE_S)
        assert waiting.cancel()
        with pytest.raises(CancelledError):
            waiting.result(PATIENCE_S)
        assert running.cancel()
        assert seen.wait(PATIENCE_S)
        with pytest.raises(ValueError, match="not tried on two nodes"):
            fleet.submit("f", once=True, speculate=1)
        begun.clear()
        once = fleet.submit("f", once=True)
        assert begun.wait(PATIENCE_S)
        assert not once.cancel()
        assert once.result(PATIENCE_S) is None, "it ran, so it has a result"


def test_progress_reaches_the_future(rig: Rig) -> None:
    with rig.executor() as fleet:
        future = fleet.submit("steps", 0.11)
        assert (future.progress, future.progress_text) == (0.0, "")
        told: list[tuple[float, str]] = []
        future.add_progress_callback(lambda future: told.append((future.progress, future.progress_text)))
        rig.node()
        assert future.result(PATIENCE_S) is None
        assert told == [(0.0, "step 0"), (0.25, "step 1"), (0.5, "step 2")]
    for wrong in (2, True, "half", float("nan")):
        with pytest.raises(ValueError, match="from 0 to 1"):
            progress(wrong)  # type: ignore[arg-type]
    progress(0.5, "to nobody, which is no error")


def test_a_node_that_left_and_starts_again_takes_work_again(rig: Rig) -> None:
    node, fleet = rig.node(), rig.executor()
    assert fleet.submit("add", 1, 2).result(PATIENCE_S) == 3
    node.stop()
    node.start()
    assert fleet.submit("add", 3, 4).result(PATIENCE_S) == 7


def test_older_nodes_take_part(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.node(credit=0)
    with rig.executor() as fleet:
        fleet.wait_for_nodes(1, timeout=PATIENCE_S)
        assert list(fleet.map("add", range(20), range(20))) == list(range(0, 40, 2))
        with pytest.raises(Expired):
            fleet.submit("add", 1, once=True, timeout=0.3).result(PATIENCE_S)
    assert "done at least once, one at a time, and none there that is to run once" in caplog.text


def test_executors_get_their_own_results_and_one_with_few_tasks_need_not_wait_for_one_with_many(
    rig: Rig, eventually: Eventually
) -> None:
    done: list[int] = []
    go = threading.Event()

    def handler(task: dict[str, Any]) -> int:
        if len(done) == 30:
            go.wait(2 * PATIENCE_S)
        time.sleep(0.002)
        done.append(task["args"][0])
        return done[-1]

    rig.node(handler)
    with rig.executor() as one, rig.executor() as other:
        mine = [one.submit("f", n) for n in range(300)]
        mine[20].result(PATIENCE_S)
        theirs = [other.submit("f", 1000 + n) for n in range(30)]
        eventually(lambda: other.counters()["at_nodes"] > 0)
        go.set()
        assert [future.result(PATIENCE_S) for future in theirs] == list(range(1000, 1030))
        assert len(done) < 150, "by turns, as each has a window"
        assert [future.result(PATIENCE_S) for future in mine] == list(range(300))


def test_a_node_that_dies_loses_nothing_and_one_task_that_kills_is_quarantined(rig: Rig) -> None:
    processes = {name: rig.process(name) for name in ("a", "b", "c")}
    with rig.executor(losses=2) as fleet:
        fleet.wait_for_nodes(3, timeout=PATIENCE_S)
        futures = [fleet.submit("slowly", 0.02, n) for n in range(100)]
        futures[5].result(PATIENCE_S)
        processes["a"].kill()
        assert [future.result(PATIENCE_S) for future in futures] == list(range(100))
        killer = fleet.submit("die")
        with pytest.raises(Quarantined, match="2 attempts ended without a trace"):
            killer.result(PATIENCE_S)


@pytest.mark.parametrize("kind", ["mosquitto", "embedded"])
def test_a_broker_that_dies_and_forgets_loses_nothing(
    serve: Callable[..., Any], make_rig: Callable[..., Rig], kind: str
) -> None:
    broker = serve(kind)
    rig = make_rig(broker.port)
    runs: Counter[int] = Counter()

    def handler(task: dict[str, Any]) -> int:
        runs[task["args"][0]] += 1
        time.sleep(0.01)
        return int(task["args"][0])

    for _ in range(3):
        rig.node(handler)
    with rig.executor(settle_s=PATIENCE_S) as fleet:
        fleet.wait_for_nodes(3, timeout=PATIENCE_S)
        futures = [fleet.submit("f", n) for n in range(150)]
        futures[10].result(PATIENCE_S)
        broker.pause(keep_memory=False)
        broker.resume()
        assert [future.result(PATIENCE_S) for future in futures] == list(range(150))
    assert set(runs.values()) == {1}, "the nodes lived all the time: nothing may run twice"


def test_more_than_a_stock_broker_queues_for_anyone(
    stock_mosquitto: Callable[..., int], make_rig: Callable[..., Rig]
) -> None:
    rig = make_rig(stock_mosquitto())
    for _ in range(4):
        rig.node(lambda task: task["args"][0])
    with rig.executor() as fleet:
        fleet.wait_for_nodes(4, timeout=PATIENCE_S)
        assert list(fleet.map("f", range(5_000))) == list(range(5_000))
        assert fleet.submit("f", "x" * 20_000).result(PATIENCE_S) == "x" * 20_000


@pytest.mark.parametrize("limit", [20_000, 2_000])  # one above what goes at QoS 0, one below
def test_what_the_broker_does_not_let_through_is_refused_and_the_rest_goes_on(
    stock_mosquitto: Callable[..., int],
    make_rig: Callable[..., Rig],
    monkeypatch: pytest.MonkeyPatch,
    limit: int,
) -> None:
    for bound in ("MIN_BACKOFF_S", "MAX_BACKOFF_S"):
        monkeypatch.setattr(sys.modules[MqttLink.__module__], bound, 0.05)
    rig = make_rig(stock_mosquitto(f"max_packet_size {limit}"))
    rig.node(lambda task: task["args"][0] if task["args"][0] != "big" else "x" * limit)
    with rig.executor(resend_s=1.0) as fleet:
        fleet.wait_for_nodes(1, timeout=PATIENCE_S)
        large, result = fleet.submit("f", "x" * limit), fleet.submit("f", "big")
        others = [fleet.submit("f", n) for n in range(20)]
        with pytest.raises(Refused, match=r"\d+ bytes"):
            large.result(PATIENCE_S)
        with pytest.raises(TaskFailed, match=r"ResultSetAside: the result of .* cannot be sent"):
            result.result(PATIENCE_S)
        assert [future.result(PATIENCE_S) for future in others] == list(range(20))


def test_once_is_never_done_twice(rig: Rig, eventually: Eventually) -> None:
    first = rig.process("a")
    with rig.executor() as fleet:
        fleet.wait_for_nodes(1, timeout=PATIENCE_S)
        path = rig.folder / "done"
        future = fleet.submit("note", str(path), "x", 30, once=True)
        eventually(lambda: path.exists() and path.read_text())
        first.kill()
        rig.process("b")
        fleet.wait_for_nodes(1, timeout=PATIENCE_S, where={"node_id": "b"})
        assert fleet.submit("add", 1).result(PATIENCE_S) == 1
        rig.process("a")
        with pytest.raises(OutcomeUnknown):
            future.result(PATIENCE_S)
        assert path.read_text() == "x\n"


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_sigterm_finishes_what_runs_and_gives_back_the_rest(
    rig: Rig, isolation: str, eventually: Eventually
) -> None:
    process = rig.process("a", "--isolation", isolation)
    with rig.executor() as fleet:
        fleet.wait_for_nodes(1, timeout=PATIENCE_S)
        path = rig.folder / "done"
        futures = [fleet.submit("note", str(path), str(n), 0.3, once=True) for n in range(6)]
        eventually(path.exists)
        os.killpg(process.pid, signal.SIGTERM)  # as systemd does, and a shell: all of a service
        rig.process("b")
        assert [future.result(PATIENCE_S) for future in futures] == [str(n) for n in range(6)]
        assert process.wait(PATIENCE_S) in (0, -signal.SIGTERM, 143)
        assert Counter(path.read_text().split()) == Counter(str(n) for n in range(6))


# --- the journal --------------------------------------------------------------------------------------------


def test_what_was_not_taken_is_there_after_a_restart(rig: Rig, eventually: Eventually) -> None:
    path = rig.folder / "j.sqlite"
    rig.node()
    with rig.executor(journal=path) as fleet:
        taken, kept = fleet.submit("add", 1), fleet.submit("add", 2)
        keyed = fleet.submit("add", 3, key="three")
        assert (taken.result(PATIENCE_S), keyed.result(PATIENCE_S)) == (1, 3)
        eventually(kept.done)
        with pytest.raises(JournalError, match="another process has it open"):
            FleetExecutor("127.0.0.1", rig.port, journal=path)
        name = fleet.name
        assert not fleet.submit("add", 5, where={"tags": "none"}).cancelled()
        assert fleet.submit("add", 6, where={"tags": "none"}).cancel()
        fleet.close()
    with rig.executor(journal=path) as fleet:
        for future in fleet.recovered().values():
            if not future.done():
                assert future.cancel()
    with rig.executor(journal=path) as fleet:
        assert fleet.name == name
        assert {future.result(PATIENCE_S) for future in fleet.recovered().values()} == {2}
        again = fleet.submit("add", 3, key="three")
        assert again.done()
        assert again.result() == 3
        with pytest.raises(ValueError, match="another task"):
            fleet.submit("add", 4, key="three")
        fleet.forget("three")
        assert fleet.recovered() == {}
    with rig.executor(journal=path) as fleet:
        assert fleet.submit("add", 4, key="three").result(PATIENCE_S) == 4


def test_a_full_disk_is_an_error_before_anything_is_lost(rig: Rig) -> None:
    path = rig.folder / "j.sqlite"
    rig.node()
    with rig.executor(journal=path) as fleet:
        fleet.submit("add", 1).result(PATIENCE_S)
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.with_name("j.sqlite-wal").stat().st_size, hard))
        try:
            with pytest.raises(JournalError, match=r"full|disk I/O error"):
                _submit_many(fleet)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        assert fleet.submit("add", 1, 1).result(PATIENCE_S) == 2


def _submit_many(fleet: FleetExecutor) -> None:
    for _ in range(200):
        fleet.submit("add", *range(200))


@pytest.mark.parametrize("damage", ["text", "torn"])
def test_a_damaged_journal_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "j.sqlite"
    journal = Journal(path)
    journal.add(Row(f"t{n}", b"x" * 500, 5, "f", {}, False, None, None, False) for n in range(200))
    journal.close()
    if damage == "text":
        path.write_text("no journal at all, but long enough for a header" * 100)
    else:
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
    with pytest.raises(JournalError, match="is it a journal, and whole"):
        Journal(path)


def test_a_journal_in_no_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="there is no folder"):
        Journal(tmp_path / "nowhere" / "j.sqlite")


def test_a_commit_is_all_or_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.sqlite")
    journal.add([Row("t", b"{}", 5, "f", {}, False, None, None, False)])
    with pytest.raises(ValueError, match="in the journal"):
        journal.add([Row("u", b"{}", 5, "f", {}, False, None, None, False), next(iter(journal.unsettled()))])
    assert [row.id for row in journal.unsettled()] == ["t"]
    journal.write([("placed", "t", "n1", "L1", 7, 1), ("moved", "t", "n1", "L1")])
    assert journal.placed() == {"t": [("n1", "L1", 7, 1, False)]}
    journal.write([("settled", "t", "result", {"a": 1}, "n1")])
    assert journal.placed() == {}
    assert journal.counters() == [("n1", "L1", 7)]
    row = journal.find("t")
    assert row is not None
    assert (row.outcome, row.value, row.node) == ("result", {"a": 1}, "n1")
    journal.close()
    assert sqlite3.connect(tmp_path / "j.sqlite").execute("select count(*) from task").fetchone() == (1,)


# --- workers ------------------------------------------------------------------------------------------------


def test_processes_end_what_hangs_and_survive_what_dies(rig: Rig, eventually: Eventually) -> None:
    rig.process("a", "--isolation", "process", "--concurrency", "2", "--time-limit", "1")
    with rig.executor() as fleet:
        fleet.wait_for_nodes(1, timeout=PATIENCE_S)
        assert fleet.submit("add", 1, 2).result(PATIENCE_S) == 3
        reports = fleet.submit("steps", 0.11)
        reports.result(PATIENCE_S)
        assert (reports.progress, reports.progress_text) == (0.5, "step 2")
        hangs, dies = fleet.submit("slowly", 60, 1), fleet.submit("die")
        with pytest.raises(TaskFailed, match="more than 1 s"):
            hangs.result(PATIENCE_S)
        with pytest.raises(TaskFailed, match=r"ProcessDied: .* ended with status 3"):
            dies.result(PATIENCE_S)
        cancelled = fleet.submit("note", str(rig.folder / "begun"), "x", 60)
        eventually((rig.folder / "begun").exists)
        assert cancelled.cancel()
        assert fleet.submit("add", 4).result(PATIENCE_S) == 4


def test_what_functions_are_served(rig: Rig) -> None:
    functions = Functions(["work"])
    assert functions.names() == [
        f"work:{name}" for name in ("add", "big", "die", "fail", "note", "slowly", "steps")
    ]
    assert functions({"function": "add", "args": [1, 2]}) == 3
    assert functions({"function": "add", "calls": [[1], [2, 3]]}) == [1, 5]
    with pytest.raises(LookupError, match="no function 'os' here"):
        functions({"function": "os"})
    with pytest.raises(ValueError, match="nowhere"):
        Functions(["nowhere"])
    assert load_handler("work:add")(3) == 3  # type: ignore[arg-type]
    assert Refused("x").node == ""
    assert os.getpid() > 0


def test_from_the_command_line(rig: Rig) -> None:
    rig.node()
    (rig.folder / "tasks.jsonl").write_text('[1, 2]\n{"function": "fail", "args": ["no"]}\n\n[3]\n')

    def dcompute(*words: str) -> subprocess.CompletedProcess[str]:
        where = ("--broker", f"mqtt://127.0.0.1:{rig.port}", "--namespace", rig.namespace)
        command = [sys.executable, "-m", "dcompute", *words, *where]
        options: Any = {"capture_output": True, "text": True, "timeout": 60, "check": False}
        return subprocess.run(command, cwd=rig.folder, **options)

    one = dcompute("submit", "add", "1", "2", "--priority", "9")
    assert (one.stdout, one.returncode) == ('{"result": 3}\n', 0), one.stderr
    many = dcompute("map", "tasks.jsonl", "--function", "add", "--journal", "j.sqlite")
    lines = many.stdout.splitlines()
    assert (lines[0], lines[2], many.returncode) == ('{"result": 3}', '{"result": 3}', 1), many.stderr
    assert '"error": "KeyError"' in lines[1]
    with rig.executor(tell_s=0.2, name="me") as fleet:
        fleet.submit("add", 1).result(PATIENCE_S)
        fleet.submit("add", 1, where={"tags": "none"}, priority=7)
        shown = dcompute("top", "--once", "--metrics", "0")
        fleet.close()
    lines = shown.stdout.splitlines()
    assert lines[0].split()[:2] == ["NODE", "STATUS"]
    assert lines[2:4] == ["1 ready", ""]
    assert lines[4].split() == [
        "EXECUTOR",
        "WAITING",
        "AT",
        "NODES",
        "DONE",
        "FAILED",
        "PER",
        "S",
        "BY",
        "PRIORITY",
    ]
    assert lines[5].split() == ["me", "1", "0", "1", "0", "0", "7:", "1"]
    assert "metrics at http://127.0.0.1:" in shown.stderr
    assert "neither a port nor HOST:PORT" in dcompute("top", "--metrics", "here").stderr
    wrong = dcompute("node", "--handler", "work:add", "--functions", "work")
    assert "say what the node works with" in wrong.stderr
