"""From what a file says to what will be done when: phases made absolute, swarms drawn, moments computed.

Everything random here comes from the scenario's seed, split by the ids of entries (`entry_ids`), so that
adding or removing one moves no other.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from dcompute_sim.faults import Fault
from dcompute_sim.scenario.entry_ids import with_ids
from dcompute_sim.scenario.scenario_model import QUIET, Scenario
from dcompute_sim.scenario.swarm import expand
from dcompute_sim.scenario.workload import TaskStream


def rng_for(scenario: Scenario, name: str) -> random.Random:
    """Return the generator for one named use of the scenario's seed."""
    return random.Random(f"{scenario.seed}/{name}")


def concretise(scenario: Scenario, seed: int | None = None) -> Scenario:
    """Return a plain scenario that does the same: seed, broker, duration and ids set, swarm drawn, times
    absolute.

    Doing it again changes nothing.
    """
    if seed is not None:
        scenario = scenario.model_copy(update={"seed": seed})
    scenario = expand(scenario)
    starts = phase_starts(scenario)
    ends = {name: starts[name] + length for name, length in scenario.phases.items()}
    broker = scenario.broker
    if broker == "auto":
        broker = "model" if scenario.time == "virtual" else "embedded"
    return scenario.model_copy(
        update={
            "broker": broker,
            "duration": scenario.length_s,
            "faults": [_absolute_fault(fault, starts, ends) for fault in with_ids(scenario.faults, "fault")],
            "workload": [_absolute_stream(s, starts, ends) for s in with_ids(scenario.workload, "t")],
            "updates": with_ids(scenario.updates, "update"),
        }
    )


def phase_starts(scenario: Scenario) -> dict[str, float]:
    """Return when each phase begins."""
    starts: dict[str, float] = {}
    now = 0.0
    for name, length in scenario.phases.items():
        starts[name] = now
        now += length
    return starts


def active_until(scenario: Scenario) -> float:
    """Return when the last thing may be done: the start of the quiet phase, else the end of the run."""
    return phase_starts(scenario).get(QUIET, scenario.length_s)


def fault_times(scenario: Scenario, index: int) -> list[float]:
    """Return when fault number `index` of a concrete scenario happens; empty for one that waits for an
    event."""
    fault = scenario.faults[index]
    if fault.between is not None:
        rng = rng_for(scenario, f"fault/{fault.id}")
        low, high = fault.between
        return sorted(round(rng.uniform(low, high), 6) for _ in range(fault.times or 1))
    if fault.every is not None:
        first = fault.at if fault.at is not None else fault.every
        last = fault.until if fault.until is not None else scenario.length_s
        # counted, not accumulated: 0.1 s added a thousand times is not 100 s
        most = int((last - first) / fault.every + 1e-9) + 1 if last >= first else 0
        count = most if fault.times is None else min(fault.times, most)
        return [round(first + step * fault.every, 6) for step in range(count)]
    return [fault.at] if fault.at is not None else []


def arrivals(scenario: Scenario, index: int) -> Iterator[float]:
    """Yield when each task of stream number `index` of a concrete scenario is due, in order.

    Counted from the trigger for a stream with `when`. For a closed loop: the start, once per task that may
    be outstanding; each further one is due when a result comes in (`tasks` and `until` bound them).
    """
    stream = scenario.workload[index]
    start = stream.at or 0.0
    end = stream.until if stream.until is not None else float("inf")
    if stream.outstanding is not None:
        first = min(stream.outstanding, stream.tasks or stream.outstanding)
        yield from [start] * first
        return
    for number, moment in enumerate(_pace(stream, start, rng_for(scenario, f"stream/{stream.id}"))):
        if moment > end or (stream.tasks is not None and number >= stream.tasks):
            return
        yield round(moment, 6)


def _pace(stream: TaskStream, start: float, rng: random.Random) -> Iterator[float]:
    """Yield the stream's endless moments; who reads decides where to stop."""
    moment, number = start, 0
    while True:
        yield moment
        number += 1
        if stream.rate is not None and stream.arrivals == "poisson":
            moment += rng.expovariate(stream.rate)
        elif stream.rate is not None:
            moment = start + number / stream.rate
        elif stream.burst is not None and stream.every is not None:
            moment = start + number // stream.burst * stream.every


def _absolute_fault(fault: Fault, starts: dict[str, float], ends: dict[str, float]) -> Fault:
    if fault.phase is None:
        return fault
    start, end = starts[fault.phase], ends[fault.phase]
    update: dict[str, object] = {"phase": None}
    if fault.every is not None:
        first = fault.at if fault.at is not None else fault.every
        update |= {"at": start + first, "until": end if fault.until is None else start + fault.until}
    elif fault.between is not None:
        update["between"] = (start + fault.between[0], start + fault.between[1])
    else:
        update["at"] = start + (fault.at or 0.0)
    return fault.model_copy(update=update)


def _absolute_stream(stream: TaskStream, starts: dict[str, float], ends: dict[str, float]) -> TaskStream:
    if stream.phase is None:
        return stream
    start, end = starts[stream.phase], ends[stream.phase]
    until = end if stream.until is None else start + stream.until
    return stream.model_copy(update={"phase": None, "at": start + (stream.at or 0.0), "until": until})
