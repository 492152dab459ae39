"""Random scenarios: a fleet, its networks, its work and its faults drawn from the seed.

Same seed, same scenario. The draw is written as a scenario file would be and validated like one, so nothing a
swarm makes is beyond what a person could write.
"""

from __future__ import annotations

import random
from typing import Any

from pydantic import TypeAdapter

from sim.scenario.faults import KINDS, AnyFault
from sim.scenario.fleet import Fleet
from sim.scenario.model import QUIET, Scenario, Swarm
from sim.scenario.workload import Stream
from sim.units import format_duration, format_fraction

DRAWN = tuple(kind for kind in KINDS if kind != "inject")  # an injected message is somebody's, not chance's
DEADLY = ("crash", "power_cut", "reset")
_FLEET: TypeAdapter[Fleet] = TypeAdapter(Fleet)
_FAULTS: TypeAdapter[list[AnyFault]] = TypeAdapter(list[AnyFault])
_STREAMS: TypeAdapter[list[Stream]] = TypeAdapter(list[Stream])


def expand(scenario: Scenario) -> Scenario:
    """`scenario` with its `random` drawn and added to what it fixes; itself when it has none."""
    swarm = scenario.random
    if swarm is None:
        return scenario
    rng = random.Random(f"{scenario.seed}/swarm")
    fleet = scenario.fleet | _FLEET.validate_python(_fleet(swarm, rng))
    streams = scenario.workload + _STREAMS.validate_python(_work(swarm, rng))
    faults = scenario.faults + _FAULTS.validate_python(_faults(swarm, rng))
    return scenario.model_copy(
        update={
            "random": None,
            "fleet": fleet,
            "workload": streams,
            "faults": faults,
            "phases": scenario.phases or {"storm": swarm.span, QUIET: swarm.quiet},
        }
    )


def _fleet(swarm: Swarm, rng: random.Random) -> dict[str, Any]:
    """One to three groups that share the drawn number of nodes."""
    total = rng.randint(*swarm.nodes)
    groups = rng.randint(1, min(3, total))
    cuts = sorted(rng.sample(range(1, total), groups - 1))
    counts = [high - low for low, high in zip([0, *cuts], [*cuts, total], strict=True)]
    return {f"swarm{number}": _group(swarm, rng, count) for number, count in enumerate(counts, 1)}


def _group(swarm: Swarm, rng: random.Random, count: int) -> dict[str, Any]:
    latency = rng.uniform(*swarm.latency)
    return {
        "kind": rng.choice(swarm.node_kinds),
        "count": count,
        # MQTT counts keepalive in whole seconds
        "keepalive": f"{max(1, round(rng.uniform(*swarm.keepalive)))}s",
        "ramp": _duration(rng.uniform(0, swarm.span / 10)),
        "poll": _duration(rng.uniform(0.01, 0.5)),
        "work": rng.choice(
            [
                _duration(rng.uniform(0, 0.5)),
                {"uniform": {"min": "0s", "max": _duration(rng.uniform(0.01, 2))}},
                {"exponential": {"mean": _duration(rng.uniform(0.01, 1))}},
            ]
        ),
        "fail_rate": rng.choice(["0%", "0%", "5%"]),
        "network": {
            "latency": _duration(latency),
            "jitter": _duration(rng.uniform(0, latency)),
            "loss": format_fraction(rng.choice([0, 0, 0.01, 0.05])),
        },
    }


def _work(swarm: Swarm, rng: random.Random) -> list[dict[str, Any]]:
    """A steady stream, and a pile on one node: only where tasks wait does their order matter."""
    tasks = rng.randint(*swarm.tasks)
    if tasks < 2:
        return []
    pile = max(1, tasks // 4)
    pace = max((tasks - pile) / (swarm.span * rng.uniform(0.2, 0.8)), 0.001)
    begin = swarm.span * 0.15  # the ramps are over and the nodes connected
    return [
        {
            "tasks": tasks - pile,
            "at": _duration(begin),
            "rate": f"{pace:.6f}/s",
            "arrivals": rng.choice(["even", "poisson"]),
            "until": _duration(swarm.span),
            "priority": rng.choice(["1..10", {10: 1, 5: 3, 1: 6}, 5]),
            "target": rng.choice(["random", "round_robin", "least_busy"]),
            "payload": rng.choice(["64B", "200B", "2KiB"]),
        },
        {
            "tasks": pile,
            "at": _duration(rng.uniform(begin, swarm.span * 0.9)),
            "priority": "1..10",
            "target": {"node": "swarm1-1"},
        },
    ]


def _faults(swarm: Swarm, rng: random.Random) -> list[dict[str, Any]]:
    """The first one is deadly, if any may be: a run in which nobody dies tests little."""
    kinds = swarm.kinds or list(DRAWN)
    deadly = [kind for kind in kinds if kind in DEADLY] or kinds
    count = rng.randint(*swarm.faults)
    return [_fault(swarm, rng, rng.choice(kinds if number else deadly)) for number in range(count)]


def _fault(swarm: Swarm, rng: random.Random, kind: str) -> dict[str, Any]:
    """A fault that is over before the quiet time, or (some crashes and cuts) for good."""
    at = rng.uniform(swarm.span * 0.05, swarm.span * 0.8)
    lasts = _duration(rng.uniform(0.1, swarm.span * 0.95 - at))
    fault: dict[str, Any] = {"kind": kind, "at": _duration(at)}
    if kind in ("crash", "power_cut"):
        if rng.random() < 0.7:
            fault["restart_after"] = lasts
    elif kind in ("master_crash", "reboot"):
        fault["restart_after"] = lasts
    elif KINDS[kind].recovers:
        fault["for"] = lasts
    if kind == "slow_link":
        fault["latency"] = _duration(rng.uniform(0.2, 3))
    if kind == "broker_restart":
        fault["memory"] = rng.choice(["keep", "lose"])
    if kind == "flap":
        down = rng.uniform(0.05, 1)
        cycles = min(rng.randint(2, 20), int((swarm.span * 0.95 - at) / (down + 0.2)))
        fault |= {"cycles": max(1, cycles), "down": _duration(down), "up": "200ms"}
    return fault


def _duration(seconds: float) -> str:
    return format_duration(round(seconds, 3))
