"""Virtual TCP beside the kernel's: the same nodes, work and link parameters, once over a TUN link and once in
virtual time.

`python -m benchmarks tcp`: for each case, two network namespaces of its own (gone with it) joined by a link
that delays, loses and narrows IP packets (`benchmarks.tcp_link`); in one the nodes, in the other a real
mosquitto and the master. tc netem is not in every kernel, and what a TUN device does is a page of Python.
Needs root and Linux, and says so.

What is compared are counts (deaths the master reported, disconnections of nodes, results) and the percentiles
of task to result. Where both counts are above ten they are within a factor of two; percentiles always.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields

from dcompute_sim import trace as t
from dcompute_sim.run import RunOptions, run_scenario
from dcompute_sim.scenario import Scenario

from benchmarks.figures import Figure, print_figures

_AT_ONCE = 5
_COUNT_ABOVE = 10
_FACTOR = 2.0


@dataclass(frozen=True)
class LinkCase:
    """One set of parameters. `latency_ms` is one way, of every packet; a task carries 300 bytes."""

    latency_ms: int
    loss: float
    kbit_per_s: int | None = None
    nodes: int = 10
    keepalive_s: int = 5
    tasks_per_s: float = 2.0
    length_s: int = 120

    @property
    def name(self) -> str:
        narrow = f", {self.kbit_per_s} kbit/s" if self.kbit_per_s else ""
        return f"{self.loss:.0%} loss, {self.latency_ms} ms{narrow}"


CASES = (
    *(LinkCase(latency_ms, loss) for latency_ms in (20, 300) for loss in (0.0, 0.05, 0.2, 0.3)),
    LinkCase(300, 0.05, 64, nodes=1, keepalive_s=20, tasks_per_s=1.0),
)


@dataclass(frozen=True)
class Seen:
    """What one side saw of a case."""

    deaths: int
    disconnections: int
    results: int
    p50_s: float
    p90_s: float


def summed(deaths: int, disconnections: int, latencies_s: list[float]) -> Seen:
    """`latencies_s`: from task to result, of each result."""
    ordered = sorted(latencies_s) or [0.0]
    p50_s, p90_s = (ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.9))
    return Seen(deaths, disconnections, len(latencies_s), p50_s, p90_s)


def virtual(case: LinkCase, seed: int = 1) -> Seen:
    """The case in virtual time, with a broker as late as mosquitto in noticing silence."""
    network = {"latency": f"{case.latency_ms}ms", "loss": f"{case.loss:.0%}"}
    if case.kbit_per_s:
        network["bandwidth"] = f"{case.kbit_per_s}kbit/s"
    group: dict[str, object] = {
        "count": case.nodes,
        "keepalive": f"{case.keepalive_s}s",
        "work": "0s",
        "poll": "1ms",
    }
    group["network"] = network
    stream = {
        "at": "5s",
        "until": f"{case.length_s - 15}s",
        "rate": f"{case.tasks_per_s}/s",
        "payload": "300B",
        "target": "round_robin",
        "via": "transport",
    }
    scenario = Scenario.model_validate(
        {
            "version": 1,
            "name": "link",
            "duration": f"{case.length_s}s",
            "fleet": {"n": group},
            "workload": [stream],
            "expect": [],
        }
    )
    events = run_scenario(scenario, RunOptions(seed=seed, time="virtual", broker="mosquitto")).trace.events
    sent: dict[str, int] = {}
    latencies_s = []
    for event in events:
        if isinstance(event, t.TaskSent) and event.attempt == 1:
            sent[event.task] = event.t_us
        elif isinstance(event, t.TaskSent):  # its node died: on the other side nobody sends it again
            sent.pop(event.task, None)
        elif isinstance(event, t.ResultReceived) and event.task in sent:
            latencies_s.append((event.t_us - sent.pop(event.task)) / 1e6)
    deaths = sum(isinstance(event, t.DeathReported) for event in events)
    lost = sum(isinstance(event, t.NodeDisconnected) for event in events)
    return summed(deaths, lost, latencies_s)


def real(case: LinkCase) -> Seen:
    """The case over the kernel's TCP, in a process that ends by itself."""
    command = [sys.executable, "-m", "benchmarks.tcp_link", json.dumps(asdict(case))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=case.length_s + 90)
    if done.returncode:
        raise RuntimeError(f"{case.name}: {done.stderr[-2000:]}")
    return Seen(**json.loads(done.stdout.splitlines()[-1]))


def missing() -> str | None:
    """What this machine lacks for it."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "network namespaces and a TUN link need Linux and root: run it as root"
    if shutil.which("ip") is None or not os.path.exists("/dev/net/tun"):
        return "it needs the program `ip` (Debian: iproute2) and /dev/net/tun"
    return None


def compared(case: LinkCase, kernel: Seen, model: Seen) -> Iterator[Figure]:
    """Each quantity, side by side, and how far apart where that can be told."""
    for field in fields(Seen):
        ours, theirs = getattr(model, field.name), getattr(kernel, field.name)
        unit = "s" if field.name.endswith("_s") else ""
        yield Figure(f"{case.name}: {field.name}, kernel", theirs, unit)
        yield Figure(f"{case.name}: {field.name}, virtual", ours, unit)
        if unit or min(ours, theirs) > _COUNT_ABOVE:
            apart = max(ours, theirs) / max(1e-9, min(ours, theirs))
            tolerated = _FACTOR if max(ours, theirs) > 0.2 or not unit else None  # below: scheduling, not TCP
            yield Figure(f"{case.name}: {field.name}, apart", apart, "times", "at_most", tolerated)


def measure() -> list[Figure]:
    """All cases; the real ones a few at a time."""
    why = missing()
    if why is not None:
        sys.exit(f"benchmarks tcp: {why}")
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        kernels = list(pool.map(real, CASES))
    figures: list[Figure] = []
    for case, kernel in zip(CASES, kernels, strict=True):
        model = _mean([virtual(case, seed) for seed in range(1, 6)])
        figures.extend(compared(case, kernel, model))
    return figures


def _mean(runs: list[Seen]) -> Seen:
    """Of several seeds, as a virtual run costs nothing."""
    totals = {f.name: sum(getattr(run, f.name) for run in runs) / len(runs) for f in fields(Seen)}
    counts = {name: round(totals[name]) for name in ("deaths", "disconnections", "results")}
    return Seen(**{**totals, **counts})


if __name__ == "__main__":
    print_figures("tcp", measure())
