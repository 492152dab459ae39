"""What virtual time costs: big fleets for hours, small ones over many seeds; with bare SimPy beside.

Each case runs in a process of its own (`python -m benchmarks.virtual CASE`), so that memory is that case's
alone; times are processor time, as other work on the machine is not ours to measure.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Generator
from typing import Any

from simpy import Event

from benchmarks.figures import Figure, simpy_events_per_s
from sim.checks.base import Status
from sim.checks.verdict import judge
from sim.director import Director
from sim.engines.virtual import VirtualEngine
from sim.net.fence import Fence
from sim.nodes.python import PythonNode
from sim.run import RunOptions, run_scenario
from sim.scenario import Scenario, concretise
from sim.trace import NodeConnected, ResultReceived, RunEnded, RunStarted, Trace

RESULTS_A_NODE = 10
RESULT_BYTES = 200
SEEDS = 100
_ALL_CONNECTED_S = 60.0
FAULTS = Scenario.model_validate(
    {
        "version": 1,
        "name": "faults",
        "phases": {"storm": "60s", "quiet": "60s"},
        "network": {"latency": "5ms", "jitter": "5ms"},
        "fleet": {"py": {"count": 10, "keepalive": "10s", "ramp": "2s", "work": "100ms"}},
        "workload": [{"phase": "storm", "tasks": 20, "rate": "0.4/s", "priority": "1..10"}],
        "faults": [
            {"kind": "crash", "phase": "storm", "between": ["5s", "50s"], "restart_after": "20s"},
            {"kind": "power_cut", "phase": "storm", "between": ["5s", "50s"]},
            {"kind": "wifi_drop", "phase": "storm", "between": ["5s", "40s"], "for": "20s"},
            {"kind": "reset", "phase": "storm", "between": ["5s", "50s"]},
        ],
        "expect": [
            "dead_within",
            "no_false_deaths",
            "callback_once",
            "priority_order",
            "final_status",
            "retained_consistent",
            "all_tasks_finished",
        ],
    }
)


class _Reporting(Director):
    """A director whose nodes send results nobody asked for, ten each, one after the other over the run."""

    def run(self) -> Generator[Event, Any, None]:
        self._env.process(self._report())
        return super().run()

    def _report(self) -> Generator[Event, Any, None]:
        yield self._env.timeout(_ALL_CONNECTED_S)
        pause_s = (self._scenario.length_s - 2 * _ALL_CONNECTED_S) / (RESULTS_A_NODE * len(self._nodes))
        for number in range(RESULTS_A_NODE):
            for name, node in self._nodes.items():
                assert isinstance(node, PythonNode)
                assert node.transport is not None
                node.transport.send_result("x" * (RESULT_BYTES - 130), f"{name}-{number}")
                yield self._env.timeout(pause_s)


def fleet(nodes: int, hours: int) -> dict[str, float]:
    """The whole run, judged; CPU seconds and peak memory."""
    scenario = concretise(
        Scenario.model_validate(
            {
                "version": 1,
                "name": "fleet",
                "duration": f"{hours}h",
                "network": {"latency": "2ms", "jitter": "3ms"},
                "fleet": {"py": {"count": nodes, "keepalive": "60s", "ramp": "30s"}},
                "expect": ["no_false_deaths"],
            }
        )
    )
    began_s = time.process_time()
    trace = Trace()
    trace.add(
        RunStarted(t_us=0, scenario="fleet", seed=1, time="virtual", broker="model", broker_granularity_s=0)
    )
    engine = VirtualEngine(trace, seed=1)
    director = _Reporting(engine, scenario)
    with Fence():
        engine.run(director.run)
    verdict = judge(scenario.expect, trace.events)
    cpu_s = time.process_time() - began_s
    results = sum(isinstance(event, ResultReceived) for event in trace)
    connected = sum(isinstance(event, NodeConnected) for event in trace)
    assert (connected, results) == (nodes, nodes * RESULTS_A_NODE), (connected, results)
    assert verdict.status is Status.HELD, verdict
    assert isinstance(trace.events[-1], RunEnded)
    return {"cpu_s": cpu_s, "rss_mib": _peak_mib(), "simpy_events_per_s": simpy_events_per_s()}


def seeds() -> dict[str, float]:
    """Seeds a CPU second, everything included: drawing, running, judging."""
    run_scenario(FAULTS, RunOptions(seed=0))
    began_s = time.process_time()
    for seed in range(1, SEEDS + 1):
        assert run_scenario(FAULTS, RunOptions(seed=seed)).verdict.status is not Status.FAILED, seed
    cpu_s = time.process_time() - began_s
    return {
        "seeds_per_s": SEEDS / cpu_s,
        "rss_mib": _peak_mib(),
        "simpy_events_per_s": simpy_events_per_s(),
    }


def _peak_mib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def _start(*case: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.virtual", *map(str, case)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _result(process: subprocess.Popen[str]) -> dict[str, float]:
    output, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"benchmark case {process.args!r} ended with {process.returncode}")
    found: dict[str, float] = json.loads(output)
    return found


def measure() -> list[Figure]:
    """All figures."""
    hour, twice, day = (_result(_start("fleet", *size)) for size in ((1_000, 1), (2_000, 1), (500, 24)))
    one = _result(_start("seeds"))
    pair = [_result(process) for process in [_start("seeds"), _start("seeds")]]
    ratio = twice["cpu_s"] / hour["cpu_s"]
    both = sum(result["seeds_per_s"] for result in pair)
    return [
        Figure("1,000 nodes, 1 h, 10 results each: CPU", hour["cpu_s"], "s", "at_most", 5),
        Figure("1,000 nodes, 1 h, 10 results each: peak memory", hour["rss_mib"], "MiB", "at_most", 60),
        Figure("2,000 nodes against 1,000: CPU", ratio, "times", "at_most", 2.2),
        Figure("500 nodes, 24 h: CPU", day["cpu_s"], "s", "at_most", 75),
        Figure("10 nodes, 2 min, 20 tasks, 4 faults: one process", one["seeds_per_s"], "/s", "at_least", 60),
        Figure("10 nodes, 2 min, 20 tasks, 4 faults: two processes", both, "/s", "at_least", 110),
        Figure("bare SimPy beside 1,000 nodes", hour["simpy_events_per_s"], "events/s"),
        Figure("bare SimPy beside one process of seeds", one["simpy_events_per_s"], "events/s"),
    ]


def _case(name: str, *sizes: str) -> dict[str, float]:
    return seeds() if name == "seeds" else fleet(*map(int, sizes))


if __name__ == "__main__":
    print(json.dumps(_case(*sys.argv[1:])))
