"""A thousand clients in one process, and transports on a loop of the caller's own."""

from __future__ import annotations

import asyncio
import resource
import threading
import time
from collections.abc import Callable
from typing import Any

from dcompute.asyncio_driver import AsyncioDriver
from dcompute.master_transport import MasterNodeTransport
from dcompute.node_transport import ComputeNodeTransport

from ..conftest import PATIENCE_S
from .conftest import Eventually, Fleet, Served


def test_a_thousand_nodes_in_one_process(
    mosquitto: Served, new_fleet: Callable[[int], Fleet], eventually: Eventually
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    fleet = new_fleet(mosquitto.port)
    master = fleet.master()
    threads = threading.active_count()
    began_s = time.process_time()
    nodes = [fleet.node(f"n{number}", start=False) for number in range(1000)]
    for node in nodes:
        node.start(timeout_s=0)
    eventually(lambda: len(master.get_nodes_by_status("ready")) == 1000)
    assert time.process_time() - began_s < 8, "3 s on a quiet machine"
    assert threading.active_count() <= threads + 1, "one loop for all"
    for number, node in enumerate(nodes):
        master.send_task(node.node_id, {"n": number})
    eventually(lambda: all(node.counters()["tasks_received"] == 1 for node in nodes))
    for node in nodes:
        task = node.get_task()
        assert task is not None
        node.send_result(task["n"])
    eventually(lambda: len(master.get_results()) == 1000)
    idle_from, cpu = time.monotonic(), time.process_time()
    assert not threading.Event().wait(0.5)
    used = (time.process_time() - cpu) / (time.monotonic() - idle_from)
    assert used < 0.3, f"idle, it uses {used:.0%} of a core"
    told: list[str] = []
    master.set_dead_nodes_callback(told.extend)
    for node in nodes:
        node.kill()
    eventually(lambda: len(told) == 1000)
    assert set(told) == {node.node_id for node in nodes}


def test_on_the_callers_own_loop(mosquitto: Served, eventually: Eventually) -> None:
    async def program() -> None:
        driver = AsyncioDriver(asyncio.get_running_loop(), inline_callbacks=True)
        threads = threading.active_count()
        told: list[str] = []
        master = MasterNodeTransport("127.0.0.1", mosquitto.port, namespace="own", driver=driver)
        master.set_dead_nodes_callback(told.extend)
        node = ComputeNodeTransport(
            "127.0.0.1",
            mosquitto.port,
            "own-n",
            namespace="own",
            driver=driver,
            install_signal_handlers=False,
        )
        for transport in (master, node):
            assert not transport.start(), "on the loop itself it cannot wait"
        await _until(lambda: master.get_nodes_by_status("ready"))
        master.send_task("own-n", {"n": 1})
        await _until(lambda: node.counters()["tasks_waiting"])
        node.send_result(node.get_task())
        await _until(master.get_results)
        node.stop()
        await _until(lambda: told == ["own-n"])
        master.stop()
        await _until(lambda: not master.is_connected())
        assert threading.active_count() == threads

    asyncio.run(program())


async def _until(condition: Any) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.002)
