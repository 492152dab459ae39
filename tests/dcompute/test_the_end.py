"""Nothing is lost at the end: stop, flush and exit send what is held, or say what they could not."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from dcompute import AsyncioDriver, ComputeNodeTransport, MasterNodeTransport, NotSent

from ..conftest import PATIENCE_S, free_port
from .conftest import Eventually, Fleet, Served, World


def known(world: Any, master: MasterNodeTransport, node: str = "n") -> Any:
    """Start the master in the fake world and let it know a node; the broker's end of its connection."""
    from dcompute_sim.brokers.conformance import wire

    master.start()
    broker = world.wires[-1].accept()
    hello = {"node_id": node, "status": "connected", "device_type": "x", "inc": "a.1"}
    broker.say(wire.publish("initialisation", json.dumps(hello).encode(), qos=1, packet_id=1))
    broker.heard()
    return broker


# --- what was not sent ----------------------------------------------------------------------------------


def test_stop_says_which_tasks_were_not_sent(world: World, caplog: pytest.LogCaptureFixture) -> None:
    master = MasterNodeTransport(driver=world)
    broker = known(world, master)
    broker.lose()
    for number in range(7):
        master.send_task("n", {"id": f"t{number}"})
    assert master.stop(timeout_s=0) == []  # the fake world does not wait: it is still closing
    world.run(1)
    assert master.stop() == [f"t{number}" for number in range(7)]
    assert "master stopped with 7 not sent: t0, t1, t2, t3, t4 and 2 more" in caplog.text
    with pytest.raises(NotSent, match="7 not sent: t0") as raised:
        master.stop(check=True)
    assert raised.value.tasks[-1] == "t6"
    master.start()
    later = world.wires[-1].accept().published()
    assert [json.loads(payload).get("id") for payload in later if b"init" not in payload] == [
        f"t{number}" for number in range(7)
    ]
    assert master.stop() == []
    assert caplog.text.count("stopped with") == 1


def test_stop_says_whose_results_were_not_sent(world: World, caplog: pytest.LogCaptureFixture) -> None:
    node = ComputeNodeTransport(node_id="n", driver=world, install_signal_handlers=False)
    node.start()
    world.wires[-1].accept().lose()
    node.send_result(1, "t1")
    node.send_result(2)
    node.stop(timeout_s=0)
    world.run(1)
    assert node.stop() == ["t1", ""]
    assert "node n stopped with 2 not sent: t1, (no id)" in caplog.text


def test_flush_waits_until_all_is_acknowledged(fleet: Fleet, eventually: Eventually) -> None:
    master, node = fleet.master(), fleet.node()
    eventually(lambda: master.get_nodes_by_status("ready"))
    for number in range(500):
        master.send_task(node.node_id, {"n": number})
        node.send_result(number, f"t{number}")
    assert master.flush(timeout_s=PATIENCE_S) == []
    assert node.flush(timeout_s=PATIENCE_S) == []
    assert master.counters()["messages_held"] == node.counters()["messages_held"] == 0


def test_flush_says_what_is_missing(world: World) -> None:
    master = MasterNodeTransport(driver=world)
    broker = known(world, master)
    broker.lose()
    master.send_task("n", {"id": "t"})
    assert master.flush(timeout_s=0) == ["t"]
    with pytest.raises(NotSent):
        master.flush(timeout_s=0, check=True)


def test_stop_connects_to_send_what_is_held(fleet: Fleet, eventually: Eventually) -> None:
    watcher = fleet.master()
    node = fleet.node(start=False)
    node.send_result("early", "t")
    node.start(timeout_s=0)
    assert node.stop(timeout_s=PATIENCE_S) == []
    eventually(lambda: watcher.get_results())


# --- exit -----------------------------------------------------------------------------------------------

SEND_AND_END = """
import sys
from dcompute import ComputeNodeTransport
node = ComputeNodeTransport("127.0.0.1", int(sys.argv[1]), sys.argv[2] + "-n", namespace=sys.argv[2])
node.start(timeout_s=60)
for number in range(int(sys.argv[3])):
    node.send_result(number, f"t{number}")
"""


@pytest.mark.parametrize(
    ("end", "status"), [("", 0), ("sys.exit(3)", 3), ("raise RuntimeError('a fault of the script')", 1)]
)
def test_a_script_that_sends_and_ends_has_sent(
    mosquitto: Served, new_fleet: Callable[[int], Fleet], eventually: Eventually, end: str, status: int
) -> None:
    fleet = new_fleet(mosquitto.port)
    master = fleet.master()
    script = [sys.executable, "-c", SEND_AND_END + end, str(fleet.port), fleet.namespace, "200"]
    done = subprocess.run(script, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == status, done.stderr
    eventually(lambda: len(master.get_results().get(fleet.id("n"), ())) == 200)
    eventually(lambda: master.get_nodes_by_status("offline"))


def test_a_script_without_a_broker_ends_in_time_and_says_what_it_could_not_send() -> None:
    script = SEND_AND_END
    done = subprocess.run(
        [sys.executable, "-c", script, str(free_port()), "x", "1000"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    assert "node x-n stopped with 1000 not sent: t0, t1, t2, t3, t4 and 995 more" in done.stderr


def test_a_callback_that_blocks_does_not_keep_the_program_from_ending(
    mosquitto: Served, new_fleet: Callable[[int], Fleet]
) -> None:
    fleet = new_fleet(mosquitto.port)
    program = """
import sys, threading, time
from dcompute import ComputeNodeTransport, MasterNodeTransport
where = ("127.0.0.1", int(sys.argv[1]))
blocked = threading.Event()
def blocks(ids):
    blocked.set()
    time.sleep(3600)
master = MasterNodeTransport(*where, namespace=sys.argv[2])
master.set_dead_nodes_callback(blocks)
node = ComputeNodeTransport(*where, sys.argv[2] + "-n", namespace=sys.argv[2])
master.start(); node.start()
while not master.get_nodes_by_status("ready"): time.sleep(0.01)
node.stop()
assert blocked.wait(60)
"""
    subprocess.run(
        [sys.executable, "-c", program, str(fleet.port), fleet.namespace], timeout=PATIENCE_S, check=True
    )


# --- get_task(timeout=) ---------------------------------------------------------------------------------


def test_get_task_waits_for_a_task(fleet: Fleet, eventually: Eventually) -> None:
    master, node = fleet.master(), fleet.node()
    eventually(lambda: master.get_nodes_by_status("ready"))
    got: list[Any] = []
    threads = [
        threading.Thread(target=lambda: got.append(node.get_task(timeout=PATIENCE_S))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    ids = {master.send_task(node.node_id, {}) for _ in range(3)}
    for thread in threads:
        thread.join(PATIENCE_S)
    assert {task["id"] for task in got} == ids


def test_get_task_waits_no_longer_than_it_may(fleet: Fleet) -> None:
    node = fleet.node()
    began_s = time.monotonic()
    assert node.get_task(timeout=0.2) is None
    assert time.monotonic() - began_s > 0.15


def test_who_waits_for_a_task_is_released_when_the_node_stops(fleet: Fleet) -> None:
    node = fleet.node()
    got: list[Any] = []
    waiting = threading.Thread(target=lambda: got.append(node.get_task(timeout=2 * PATIENCE_S)))
    waiting.start()
    time.sleep(0.05)
    node.stop()
    waiting.join(PATIENCE_S)
    assert got == [None], "not only when its time is over"


def test_a_task_that_carries_task_info_is_work(fleet: Fleet, eventually: Eventually) -> None:
    master, node = fleet.master(), fleet.node()
    eventually(lambda: master.get_nodes_by_status("ready"))
    sent = {"task_info": {"command": "init", "mine": True}}
    task = master.send_task(node.node_id, sent)
    got = node.get_task(timeout=PATIENCE_S)
    assert got is not None
    assert (got["id"], got["task_info"]) == (task, sent["task_info"])


# --- asyncio --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("own_loop", [True, False])
def test_start_and_stop_can_be_awaited(mosquitto: Served, own_loop: bool) -> None:
    async def program() -> None:
        driver = AsyncioDriver(asyncio.get_running_loop()) if own_loop else None
        namespace = f"awaited{own_loop}"
        where: dict[str, Any] = {"namespace": namespace, "driver": driver}
        async with MasterNodeTransport("127.0.0.1", mosquitto.port, **where) as master:
            assert master.is_connected()
            node = ComputeNodeTransport(
                "127.0.0.1", mosquitto.port, f"{namespace}-n", install_signal_handlers=False, **where
            )
            assert await node.start_async(timeout_s=PATIENCE_S)
            node.send_result(1, "t")
            assert await node.stop_async(timeout_s=PATIENCE_S) == []
            async with asyncio.timeout(PATIENCE_S):
                while not master.get_results():
                    await asyncio.sleep(0.002)
        assert not master.is_connected()

    asyncio.run(program())


def test_start_async_does_not_block_the_loop_while_nobody_answers() -> None:
    async def program() -> None:
        master = MasterNodeTransport("127.0.0.1", free_port())
        assert not await master.start_async()
        assert "refused" in master.last_error
        await master.stop_async()

    asyncio.run(program())


class Deaf:
    """A server that takes one connection and answers nothing."""

    def __enter__(self) -> Deaf:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(PATIENCE_S)
        self.port: int = self._server.getsockname()[1]
        return self

    def __exit__(self, *error: object) -> None:
        self._peer.close()
        self._server.close()

    def accept(self) -> None:
        self._peer, _ = self._server.accept()
        self._peer.settimeout(PATIENCE_S)

    def read_to_the_end(self) -> None:
        """CONNECT, then the end."""
        while self._peer.recv(1000):
            pass


def test_cancelled_start_leaves_nothing_running() -> None:
    async def program(port: int, accepted: Callable[[], object]) -> MasterNodeTransport:
        master = MasterNodeTransport("127.0.0.1", port)
        starting = asyncio.ensure_future(master.start_async())
        await asyncio.get_running_loop().run_in_executor(None, accepted)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        return master

    with Deaf() as deaf:
        master = asyncio.run(program(deaf.port, deaf.accept))
        deaf.read_to_the_end()
    assert not master.is_connected()


# --- Ctrl-C ---------------------------------------------------------------------------------------------


def test_ctrl_c_inside_start_leaves_nothing_running(caplog: pytest.LogCaptureFixture) -> None:
    main = threading.main_thread().ident
    assert main is not None
    with Deaf() as deaf:
        master = MasterNodeTransport("127.0.0.1", deaf.port)

        def interrupt() -> None:
            deaf.accept()  # so it is inside
            signal.pthread_kill(main, signal.SIGINT)

        interrupting = threading.Thread(target=interrupt)
        interrupting.start()
        with pytest.raises(KeyboardInterrupt):
            master.start(timeout_s=PATIENCE_S)
        interrupting.join()
        deaf.read_to_the_end()
    assert not master.is_connected()


def test_at_the_prompt_ctrl_c_leaves_the_node_ready(
    mosquitto: Served, new_fleet: Callable[[int], Fleet], eventually: Eventually
) -> None:
    fleet = new_fleet(mosquitto.port)
    master = fleet.master()
    theirs, ours = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-q"], stdin=ours, stdout=ours, stderr=ours, start_new_session=True
    )
    try:
        for line in (
            "from dcompute import ComputeNodeTransport",
            f"node = ComputeNodeTransport('127.0.0.1', {fleet.port}, '{fleet.id('n')}', "
            f"namespace='{fleet.namespace}')",
            "print('started:', node.start())",
        ):
            os.write(theirs, line.encode() + b"\n")
        said = bytearray()

        def hear(words: bytes) -> bool:
            if select.select([theirs], [], [], 0)[0]:
                said.extend(os.read(theirs, 1000))
            return words in said

        eventually(lambda: hear(b"started: True"))
        eventually(lambda: master.get_nodes_by_status("ready"))
        process.send_signal(signal.SIGINT)
        eventually(lambda: hear(b"KeyboardInterrupt"))
        master.send_task(fleet.id("n"), {"n": 1})
        os.write(theirs, b"node.send_result(node.get_task(timeout=60)['n'])\n")
        eventually(lambda: master.get_results())
        assert master.get_nodes_by_status("ready")
        os.write(theirs, b"exit()\n")
        eventually(lambda: master.get_nodes_by_status("offline"))
    finally:
        process.kill()
        process.wait()
        os.close(theirs)
        os.close(ours)


# Runs cells as ipykernel does: in a running loop; SIGINT is ignored between them, and ends a cell, one that
# awaits by cancelling it.
NOTEBOOK = """
import ast, asyncio, inspect, json, signal, sys
INT = signal.SIGINT
sys.ps1 = "In : "
scope = {}
async def run(cell):
    code = compile(cell, "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    before = signal.signal(INT, signal.default_int_handler)
    try:
        awaits = eval(code, scope)
        if inspect.iscoroutine(awaits):
            task = asyncio.ensure_future(awaits)
            signal.signal(INT, lambda *_: task.get_loop().call_soon_threadsafe(task.cancel))
            await task
        said = "done"
    except BaseException as error:
        said = type(error).__name__
    signal.signal(INT, before)
    print(said, flush=True)
async def main():
    while line := await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
        await run(json.loads(line))
signal.signal(INT, signal.SIG_IGN)
asyncio.run(main())
"""
NOW = "print('now', flush=True)"


def test_in_a_notebook_ctrl_c_ends_the_cell_and_leaves_the_node_ready(
    mosquitto: Served, new_fleet: Callable[[int], Fleet], eventually: Eventually
) -> None:
    fleet = new_fleet(mosquitto.port)
    master = fleet.master()
    process = subprocess.Popen(
        [sys.executable, "-c", NOTEBOOK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    said = process.stdout

    def cell(*lines: str, interrupt: bool = False) -> str:
        assert process.stdin is not None
        process.stdin.write(json.dumps("\n".join(lines)) + "\n")
        process.stdin.flush()
        if interrupt:
            assert said.readline() == "now\n"
            process.send_signal(signal.SIGINT)
        return said.readline().strip()

    try:
        where = f"'127.0.0.1', {fleet.port}"
        assert (
            cell(
                "from dcompute import ComputeNodeTransport, FleetExecutor",
                f"node = ComputeNodeTransport({where}, '{fleet.id('n')}', namespace='{fleet.namespace}')",
                "assert await node.start_async(60)",
                f"executor = FleetExecutor({where}, namespace='{fleet.namespace}')",
                "future = executor.submit('f')",
            )
            == "done"
        )
        eventually(lambda: master.get_nodes_by_status("ready"))
        process.send_signal(signal.SIGINT)
        assert (
            cell("node.stop()", "node.start()", NOW, "future.result()", interrupt=True) == "KeyboardInterrupt"
        )
        assert cell("import asyncio", NOW, "await asyncio.sleep(3600)", interrupt=True) == "CancelledError"
        assert (
            cell(
                "task = node.get_task(timeout=60)",
                "node.send_result({'output': 'done', 'task_id': task['id']})",
                "assert future.result(60) == 'done'",
            )
            == "done"
        )
        eventually(lambda: master.get_nodes_by_status("ready"))  # and not offline behind one's back
        assert cell("assert await node.stop_async(60) == []", "executor.close()") == "done"
        eventually(lambda: master.get_nodes_by_status("offline"))
    finally:
        process.kill()
        process.wait()


def test_logging_is_quiet_in_a_normal_life(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with fleet.master(start=False) as master, fleet.node(start=False):
        assert master.is_connected()
    assert caplog.text == ""
