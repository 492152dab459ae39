"""Many nodes on real brokers: how soon all are ready, and what they cost when nothing happens."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator

from dcompute_sim.brokers.factory import make_broker
from dcompute_sim.brokers.open_files import raise_open_files
from dcompute_sim.run import RunOptions, run_scenario
from dcompute_sim.scenario import Scenario
from dcompute_sim.trace import NodeConnected, NodeStarted

from benchmarks.figures import Figure
from dcompute.asyncio_driver import AsyncioDriver
from dcompute.node_transport import ComputeNodeTransport

IDLE_S = 5.0
KEEPALIVE_S = 5  # every node pings once in the idle time: twelve times as often as by default
PATIENCE_S = 60.0


def measure() -> list[Figure]:
    """All figures."""
    raise_open_files(16_384)
    mosquitto_s, idle = asyncio.run(_bare("mosquitto", 1_000))
    embedded_s, _ = asyncio.run(_bare("embedded", 300))
    return [
        Figure("1,000 nodes on mosquitto: all ready", mosquitto_s, "s", "at_most", 3),
        Figure(
            f"1,000 idle nodes pinging every {KEEPALIVE_S} s: CPU", idle * 100, "% of a core", "at_most", 5
        ),
        Figure("300 nodes on the embedded broker: all ready", embedded_s, "s", "at_most", 5),
        Figure("300 nodes, each through its proxy: all ready", _through_the_runner(300), "s", "at_most", 5),
    ]


async def _bare(kind: str, count: int) -> tuple[float, float]:
    """Seconds until all are ready; then, over a while, the share of a core they use."""
    broker = make_broker(kind)
    await broker.start()
    try:
        with _nodes(count, broker.host, broker.port) as nodes:
            began_s = time.perf_counter()
            for node in nodes:
                node.start(timeout_s=0)
            # connected, and every message sent at the connection acknowledged: its status is known
            while not all(node.is_connected() and not node.counters()["messages_held"] for node in nodes):
                if time.perf_counter() - began_s > PATIENCE_S:
                    raise TimeoutError(f"not all of {count} nodes are connected: {nodes[-1].last_error}")
                await asyncio.sleep(0.02)
            ready_s = time.perf_counter() - began_s
            cpu_s = time.process_time()
            await asyncio.sleep(IDLE_S)
            return ready_s, (time.process_time() - cpu_s) / IDLE_S
    finally:
        await broker.stop()


@contextlib.contextmanager
def _nodes(count: int, host: str, port: int) -> Iterator[list[ComputeNodeTransport]]:
    driver = AsyncioDriver(asyncio.get_running_loop())
    nodes = [
        ComputeNodeTransport(
            host, port, f"n{number}", keepalive=KEEPALIVE_S, install_signal_handlers=False, driver=driver
        )
        for number in range(count)
    ]
    try:
        yield nodes
    finally:
        for node in nodes:
            node.kill()


def _through_the_runner(count: int) -> float:
    """From the first power-on to the last connection, with the run's proxies, master and trace."""
    scenario = Scenario.model_validate(
        {
            "version": 1,
            "name": "start",
            "time": "real",
            "duration": "6s",
            "fleet": {"py": {"count": count, "keepalive": "60s"}},
            "expect": ["no_false_deaths"],
        }
    )
    events = run_scenario(scenario, RunOptions(broker="embedded")).trace.events
    first_s = next(event.t_s for event in events if isinstance(event, NodeStarted))
    connected = {event.node: event.t_s for event in events if isinstance(event, NodeConnected)}
    return max(connected.values()) - first_s if len(connected) == count else float("inf")
