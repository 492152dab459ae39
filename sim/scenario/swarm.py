"""Random scenarios: a fleet, its networks, its work and its faults drawn from the seed.

Same seed, same scenario. The draw is written as a scenario file would be and validated like one, so nothing a
swarm makes is beyond what a person could write.
"""

from __future__ import annotations

import random
from typing import Any

from pydantic import TypeAdapter

from sim.scenario.faults import KINDS, NODE_FAULTS, AnyFault
from sim.scenario.fleet import Fleet, node_names
from sim.scenario.model import QUIET, Scenario, Swarm
from sim.scenario.workload import Stream
from sim.units import format_duration, format_fraction

DRAWN = tuple(kind for kind in KINDS if kind != "inject")  # an injected message is somebody's, not chance's
FATAL = ("crash", "power_cut")
TOLD_AT_ONCE = ("crash", "reset")  # the others' deaths are told when the keepalive is over
OUTAGES = ("broker_stop", "broker_restart", "master_crash")  # they hide deaths
ON_ONE_NODE = tuple(kind for kind in NODE_FAULTS if kind in DRAWN and kind != "ap_gone")
_DEATH_TOLD_S = 3.0
_OUTAGES = 3  # at most: they wait for one another, and the master for the end of its pause between attempts
_PILED_ON = "swarm1-1"
_AIMED = 0.25  # share of the faults on one node that hit it while it connects, which chance hardly ever does
_FLEET: TypeAdapter[Fleet] = TypeAdapter(Fleet)
_FAULTS: TypeAdapter[list[AnyFault]] = TypeAdapter(list[AnyFault])
_STREAMS: TypeAdapter[list[Stream]] = TypeAdapter(list[Stream])


def expand(scenario: Scenario) -> Scenario:
    """`scenario` with its `random` drawn and added to what it fixes; itself when it has none."""
    swarm = scenario.random
    if swarm is None:
        return scenario
    rng = random.Random(f"{scenario.seed}/swarm")
    drawn = _FLEET.validate_python(_fleet(swarm, rng))
    fleet = scenario.fleet | drawn
    streams = scenario.workload + _STREAMS.validate_python(_work(swarm, rng))
    faults = scenario.faults + _FAULTS.validate_python(_faults(swarm, rng, drawn))
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
    """A steady stream, and two piles on one node, for only where tasks wait does their order matter: one
    anywhere in the storm, and one at its end, when hardly anything can scatter it any more."""
    tasks = rng.randint(*swarm.tasks)
    pile = min((tasks - 1) // 2, max(5, tasks // 8))
    stream = tasks - 2 * pile
    if pile < 1:
        return []
    pace = max(stream / (swarm.span * rng.uniform(0.2, 0.8)), 0.001)
    begin = swarm.span * 0.15  # the ramps are over and the nodes connected
    return [
        {
            "tasks": stream,
            "at": _duration(begin),
            "rate": f"{pace:.6f}/s",
            "arrivals": rng.choice(["even", "poisson"]),
            "until": _duration(swarm.span),
            "priority": rng.choice(["1..10", {10: 1, 5: 3, 1: 6}, 5]),
            "target": rng.choice(["random", "round_robin", "least_busy"]),
            "payload": rng.choice(["64B", "200B", "2KiB"]),
        },
        *(
            {"tasks": pile, "at": _duration(at_s), "priority": "1..10", "target": {"node": _PILED_ON}}
            for at_s in (rng.uniform(begin, swarm.span * 0.9), swarm.span * 0.95)
        ),
    ]


def _faults(swarm: Swarm, rng: random.Random, fleet: Fleet) -> list[dict[str, Any]]:
    """The first one is a death that is told at once, if any may be, and early, before broker and master can
    be away or all nodes out of reach: a run in which nobody's death is told tests little. Most of the fleet
    comes back from what befalls it, and the node that work is piled on always does."""
    kinds = swarm.kinds or list(DRAWN)
    deadly = [kind for kind in kinds if kind in TOLD_AT_ONCE] or kinds
    first_s = swarm.span * rng.uniform(0.12, 0.2)
    # Each goes on until it had an effect: within a keepalive even an idle node wants to send.
    last_s = min(swarm.span * 0.8, swarm.span * 0.95 - max(group.keepalive for group in fleet.values()))
    last_s = max(last_s, swarm.span * 0.3)
    names = [node for name, group in fleet.items() for node in node_names(name, group.count)]
    mortal = aimed = (len(names) - 1) // 2
    lesser = [kind for kind in kinds if kind not in OUTAGES] or kinds
    outages = 0
    faults = []
    moments: list[float] = []
    for number in range(rng.randint(*swarm.faults)):
        kind = rng.choice((kinds if outages < _OUTAGES else lesser) if number else deadly)
        early_s = first_s + _DEATH_TOLD_S if kind in (*OUTAGES, "ap_gone") else swarm.span * 0.05
        late_s = min(last_s, swarm.span * 0.6) if kind in OUTAGES else last_s
        at_s = rng.uniform(min(early_s, late_s), late_s) if number else first_s
        if number and kind in OUTAGES:
            outages += 1
            if rng.random() < 0.5:
                # Soon after another mishap, of which nobody has been told: the broker forgets, and its will.
                at_s = min(late_s, max(early_s, rng.choice(moments) + rng.uniform(0, 5)))
        moments.append(at_s)
        fault = _fault(swarm, rng, kind, at_s)
        if number and kind in ON_ONE_NODE and aimed > 0 and rng.random() < _AIMED:
            aimed -= 1
            fault |= _while_connecting(rng, fleet)
            del fault["at"]
        elif kind in FATAL and mortal > 0 and (not number or (at_s > first_s and rng.random() < 0.4)):
            mortal -= 1
            del fault["restart_after"]
            fault["select"] = {"names": [name for name in names if name != _PILED_ON], "count": 1}
        faults.append(fault)
    return faults


def _while_connecting(rng: random.Random, fleet: Fleet) -> dict[str, Any]:
    """At some moment of the three round trips that some node's connection takes. Each node connects in the
    ramp, if not more often, so the event is certain to come."""
    name, group = rng.choice(list(fleet.items()))
    round_trip_s = 2 * (group.network.latency or 0.0) + (group.network.jitter or 0.0)
    count = rng.randint(1, group.count)
    after = _duration(rng.uniform(0, 3 * round_trip_s))
    return {
        "when": {"event": "node_connecting", "group": name, "count": count, "after": after},
        "select": {"same": True},
    }


def _fault(swarm: Swarm, rng: random.Random, kind: str, at_s: float) -> dict[str, Any]:
    """A fault that is over before the quiet time, and leaves time for others that wait for their chance."""
    left_s = swarm.span * 0.95 - at_s
    lasts = _duration(rng.uniform(0.1, left_s / (4 if kind in (*OUTAGES, "ap_gone") else 2)))
    fault: dict[str, Any] = {"kind": kind, "at": _duration(at_s), "sure": True}
    if kind in (*FATAL, "master_crash", "reboot"):
        fault["restart_after"] = lasts
    elif KINDS[kind].recovers:
        fault["for"] = lasts
    if kind == "slow_link":
        fault["latency"] = _duration(rng.uniform(0.2, 3))
    if kind == "broker_restart":
        fault["memory"] = rng.choice(["keep", "lose"])
    if kind == "flap":
        down = rng.uniform(0.05, 1)
        cycles = min(rng.randint(2, 20), int(left_s / (down + 0.2)))
        fault |= {"cycles": max(1, cycles), "down": _duration(down), "up": "200ms"}
    return fault


def _duration(seconds: float) -> str:
    return format_duration(round(seconds, 3))
