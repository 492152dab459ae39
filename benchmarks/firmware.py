"""Emulated ESP32s: what a fleet of them costs in virtual time, and how soon ready and how idle in real time.

Real time: 300 processes on this machine. Their idle cost is the difference between a longer and a shorter run
of the same fleet, so that starting them, which costs most, is in neither.
"""

from __future__ import annotations

import resource
import time

from dcompute_sim.checks.check import Status
from dcompute_sim.run import RunOptions, run_scenario
from dcompute_sim.scenario import Scenario
from dcompute_sim.trace import NodeConnected, NodeStarted

from benchmarks.figures import Figure

BOARDS = 300
SHORT_S, LONG_S = 12, 32


def measure() -> list[Figure]:
    """All figures."""
    run_scenario(_fleet(1, 10, "virtual"), RunOptions())  # whatever is done once, as fetching MicroPython
    small_s, _ = _virtual(10, 600)
    hour_s, hour_cpu_s = _virtual(100, 3600)
    ready_s, short_cpu_s = _real(BOARDS, SHORT_S)
    _, long_cpu_s = _real(BOARDS, LONG_S)
    idle = (long_cpu_s - short_cpu_s) / (LONG_S - SHORT_S)
    return [
        Figure("10 boards, 600 s, polling every 100 ms", small_s, "s", "at_most", 3),
        Figure("100 boards, 1 h, polling every 100 ms", hour_s, "s", "at_most", 180),
        Figure("the same: processor time on all cores", hour_cpu_s, "s"),
        Figure(f"{BOARDS} boards in real time: all ready", ready_s, "s", "at_most", 5),
        Figure(f"{BOARDS} idle boards polling every 100 ms: CPU", idle * 100, "% of a core", "at_most", 30),
    ]


def _fleet(boards: int, length_s: int, kind_of_time: str) -> Scenario:
    return Scenario.model_validate(
        {
            "version": 1,
            "name": "boards",
            "time": kind_of_time,
            "duration": f"{length_s}s",
            "fleet": {"esp": {"kind": "firmware", "count": boards, "keepalive": "60s", "poll": "100ms"}},
            "expect": ["no_false_deaths"],
        }
    )


def _virtual(boards: int, length_s: int) -> tuple[float, float]:
    """Seconds by the wall, as boards run on all cores at once; and of processor time."""
    began_s, began_cpu_s = time.perf_counter(), _cpu_s(resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    result = run_scenario(_fleet(boards, length_s, "virtual"), RunOptions())
    assert result.verdict.status is Status.HELD, result.verdict
    cpu_s = _cpu_s(resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN) - began_cpu_s
    return time.perf_counter() - began_s, cpu_s


def _real(boards: int, length_s: int) -> tuple[float, float]:
    """Seconds from the first power-on to the last connection, and processor time of boards and broker."""
    began_cpu_s = _cpu_s(resource.RUSAGE_CHILDREN)
    events = run_scenario(_fleet(boards, length_s, "real"), RunOptions(broker="model")).trace.events
    first_s = next(event.t_s for event in events if isinstance(event, NodeStarted))
    connected = {event.node: event.t_s for event in events if isinstance(event, NodeConnected)}
    ready_s = max(connected.values()) - first_s if len(connected) == boards else float("inf")
    return ready_s, _cpu_s(resource.RUSAGE_CHILDREN) - began_cpu_s


def _cpu_s(*whose: int) -> float:
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, whose))
