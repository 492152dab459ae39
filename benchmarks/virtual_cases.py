"""One case of what virtual time costs, alone in its process: `python -m benchmarks.virtual_cases CASE`.

Prints its figures as JSON. Imported is only what the cases themselves need, for their memory is measured.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from dcompute_sim.checks.check import Status
from dcompute_sim.checks.verdict import judge
from dcompute_sim.director import Director
from dcompute_sim.engines.virtual import VirtualEngine
from dcompute_sim.net.fence import Fence
from dcompute_sim.nodes.factories import VIRTUAL_NODES
from dcompute_sim.nodes.python_node import PythonNode
from dcompute_sim.run import RunOptions, run_scenario
from dcompute_sim.scenario import Scenario, concretise
from dcompute_sim.trace import NodeConnected, ResultReceived, RunEnded, RunStarted, Trace
from simpy import Event

from benchmarks.figures import simpy_events_per_s

CASES = "fleet NODES HOURS | seeds"
RESULTS_A_NODE = 10
RESULT_BYTES = 200
SEEDS = 100
_ALL_CONNECTED_S = 60.0
FAULTS: dict[str, Any] = {
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
    engine = VirtualEngine(trace, 1, VIRTUAL_NODES)
    director = _Reporting(engine, engine.recorder, scenario)
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
    faults = Scenario.model_validate(FAULTS)
    run_scenario(faults, RunOptions(seed=0))
    began_s = time.process_time()
    for seed in range(1, SEEDS + 1):
        assert run_scenario(faults, RunOptions(seed=seed)).verdict.status is not Status.FAILED, seed
    cpu_s = time.process_time() - began_s
    return {
        "seeds_per_s": SEEDS / cpu_s,
        "rss_mib": _peak_mib(),
        "simpy_events_per_s": simpy_events_per_s(),
    }


def _peak_mib() -> float:
    """Of this program alone: `ru_maxrss` begins, on Linux, with what the parent had at the fork."""
    status = Path("/proc/self/status")
    if status.exists():
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(peak.split()[1]) / (1 << 10)
    peak_units = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak_units / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def main(case: Sequence[str]) -> int:
    """Run one case, print its figures. 2 when there is no such case."""
    match case:
        case ["fleet", nodes, hours] if nodes.isdecimal() and hours.isdecimal():
            print(json.dumps(fleet(int(nodes), int(hours))))
        case ["seeds"]:
            print(json.dumps(seeds()))
        case _:
            print(f"no case {' '.join(case)!r}; there are: {CASES}", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
