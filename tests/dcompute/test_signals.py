"""SIGINT and SIGTERM: `offline` is published, then the program ends as Python programs do."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from dcompute._node.signals import ShutdownSignals, SignalSafeLock

from ..conftest import PATIENCE_S
from .conftest import Eventually, Fleet, Served

HEAD = """
import signal, sys, threading, time
from dcompute.node_transport import ComputeNodeTransport
def start(name="n", **options):
    port, ns = int(sys.argv[1]), sys.argv[2]
    node = ComputeNodeTransport("127.0.0.1", port, ns + "-" + name, namespace=ns, **options)
    assert node.start()
    return node
def ready():
    print("ready", flush=True)
"""
WAIT = """
try:
    ready()
    while True:
        time.sleep(0.05)
except KeyboardInterrupt:
    print("KeyboardInterrupt", flush=True)
"""


class Program:
    """A node's program in a process of its own, and what a master and a listener see of it."""

    def __init__(self, fleet: Fleet, eventually: Callable[..., Any], code: str, *, wait: bool = True) -> None:
        self.fleet = fleet
        self.watcher = fleet.probe_client("watcher", ["+/status"])
        self._eventually = eventually
        program = HEAD + textwrap.dedent(code) + (WAIT if wait else "")
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, str(fleet.port), fleet.namespace],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        if self.process.stdout.readline() != "ready\n":
            pytest.fail(self.process.communicate(timeout=PATIENCE_S)[1])

    def signal(self, signum: int) -> tuple[int, str]:
        """Exit status and what it printed after `ready`."""
        self.process.send_signal(signum)
        out, self.errors = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, out

    def last_status(self, name: str, expected: str) -> None:
        topic = self.fleet.topic(self.fleet.id(name) + "/status")
        self._eventually(
            lambda: [json.loads(p)["status"] for p in self.watcher.payloads(topic)][-1:] == [expected]
        )


@pytest.fixture
def run(
    mosquitto: Served, new_fleet: Callable[[int], Fleet], eventually: Eventually
) -> Iterator[Callable[..., Program]]:
    programs: list[Program] = []

    def start(code: str, *, wait: bool = True) -> Program:
        programs.append(Program(new_fleet(mosquitto.port), eventually, code, wait=wait))
        return programs[-1]

    yield start
    for program in programs:
        program.process.kill()
        program.process.communicate()


def test_ctrl_c_is_a_keyboard_interrupt_after_offline(run: Callable[..., Program]) -> None:
    program = run("node = start()")
    assert program.signal(signal.SIGINT) == (0, "KeyboardInterrupt\n")
    program.last_status("n", "offline")


def test_uncaught_it_ends_the_program_as_ever(run: Callable[..., Program]) -> None:
    program = run("node = start(); ready(); time.sleep(60)", wait=False)
    status, _ = program.signal(signal.SIGINT)
    assert status in (-signal.SIGINT, 130)
    assert "KeyboardInterrupt" in program.errors
    program.last_status("n", "offline")


def test_sigterm_ends_the_program_by_sigterm_after_offline(run: Callable[..., Program]) -> None:
    program = run("node = start()")
    assert program.signal(signal.SIGTERM) == (-signal.SIGTERM, "")
    program.last_status("n", "offline")


def test_a_handler_that_was_there_is_called_after_offline(run: Callable[..., Program]) -> None:
    program = run(
        """
        def mine(signum, frame):
            print("mine", node.status, flush=True)
            sys.exit(7)
        signal.signal(signal.SIGTERM, mine)
        node = start()
        """
    )
    assert program.signal(signal.SIGTERM) == (7, "mine offline\n")
    program.last_status("n", "offline")


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_two_nodes_of_a_program_both_say_so(run: Callable[..., Program], signum: int) -> None:
    program = run("one, two = start('one'), start('two')")
    expected = (0, "KeyboardInterrupt\n") if signum == signal.SIGINT else (-signum, "")
    assert program.signal(signum) == expected
    program.last_status("one", "offline")
    program.last_status("two", "offline")


def test_a_first_node_that_left_before_changes_nothing_for_the_second(run: Callable[..., Program]) -> None:
    program = run("one, two = start('one'), start('two'); one.stop()")
    assert program.signal(signal.SIGINT) == (0, "KeyboardInterrupt\n")
    program.last_status("two", "offline")


def test_an_ignored_signal_stays_ignored(run: Callable[..., Program]) -> None:
    program = run("signal.signal(signal.SIGINT, signal.SIG_IGN); node = start()")
    program.process.send_signal(signal.SIGINT)
    assert program.signal(signal.SIGTERM) == (-signal.SIGTERM, "")
    program.last_status("n", "offline")


def test_switched_off_a_signal_is_a_crash(run: Callable[..., Program]) -> None:
    program = run("node = start(install_signal_handlers=False)")
    assert program.signal(signal.SIGTERM) == (-signal.SIGTERM, "")
    program.last_status("n", "dead")


def test_from_another_thread_handlers_are_left_alone(run: Callable[..., Program]) -> None:
    program = run(
        """
        before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
        thread = threading.Thread(target=start)
        thread.start(); thread.join()
        assert before == (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT))
        """
    )
    assert program.signal(signal.SIGTERM) == (-signal.SIGTERM, "")
    program.last_status("n", "dead")


def test_a_signal_in_the_midst_of_the_nodes_own_calls_is_no_deadlock(run: Callable[..., Program]) -> None:
    program = run(
        """
        node = start()
        ready()
        while True:
            node.send_result(1); node.publish_status("busy"); node.get_task()
        """,
        wait=False,
    )
    status, _ = program.signal(signal.SIGTERM)
    assert status == -signal.SIGTERM
    program.last_status("n", "offline")


def test_a_signal_while_the_broker_is_away_ends_the_program(
    run: Callable[..., Program],
    serve: Callable[..., Served],
    new_fleet: Callable[[int], Fleet],
    eventually: Eventually,
) -> None:
    broker = serve("mosquitto")
    program = Program(new_fleet(broker.port), eventually, "node = start()")
    broker.pause(keep_memory=False)
    assert program.signal(signal.SIGTERM) == (-signal.SIGTERM, "")


# --- without a process ----------------------------------------------------------------------------------


@pytest.fixture
def handled(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """SIGTERM is the test's own for its while."""
    said: list[str] = []

    def outermost(signum: int, frame: FrameType | None) -> None:
        said.append("outermost")

    before = signal.signal(signal.SIGTERM, outermost)
    interrupt = signal.getsignal(signal.SIGINT)
    yield said
    signal.signal(signal.SIGTERM, before)
    signal.signal(signal.SIGINT, interrupt)


def test_handlers_are_put_back(handled: list[str]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    signals = ShutdownSignals(lambda: handled.append("shutdown"), SignalSafeLock())
    signals.install()
    signals.install()
    signal.raise_signal(signal.SIGTERM)
    assert handled == ["shutdown", "outermost"]
    signals.remove()
    assert signal.getsignal(signal.SIGTERM) == before
    signal.raise_signal(signal.SIGTERM)
    assert handled == ["shutdown", "outermost", "outermost"]


def test_removed_beneath_another_it_only_passes_on(handled: list[str]) -> None:
    lower = ShutdownSignals(lambda: handled.append("lower"), SignalSafeLock())
    upper = ShutdownSignals(lambda: handled.append("upper"), SignalSafeLock())
    lower.install()
    upper.install()
    lower.remove()
    signal.raise_signal(signal.SIGTERM)
    assert handled == ["upper", "outermost"]
    lower.install()
    signal.raise_signal(signal.SIGTERM)
    assert handled[2:] == ["upper", "lower", "outermost"]


def test_a_signal_under_the_lock_waits_for_its_release(handled: list[str]) -> None:
    lock = SignalSafeLock()
    signals = ShutdownSignals(lambda: handled.append("shutdown"), lock)
    signals.install()
    with lock:
        with lock:
            signal.raise_signal(signal.SIGTERM)
            assert handled == []
        assert handled == []
    assert handled == ["shutdown", "outermost"]
    holding, release = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            holding.set()
            release.wait(2 * PATIENCE_S)

    thread = threading.Thread(target=hold)
    thread.start()
    holding.wait(PATIENCE_S)
    signal.raise_signal(signal.SIGTERM)
    assert handled[2:] == ["shutdown", "outermost"], "another thread will release it: no reason to wait"
    release.set()
    thread.join(PATIENCE_S)
    signals.remove()
