"""Slips of a unit that would make a run of years or a billion tasks: said before anything is started."""

from __future__ import annotations

import json
from collections.abc import Iterator

from dcompute.node_wire import MAX_PAYLOAD_BYTES
from dcompute_sim.faults import Fault
from dcompute_sim.scenario.scenario_model import Scenario
from dcompute_sim.scenario.workload import TaskStream
from dcompute_sim.yamlfile.problems import Complaint
from dcompute_sim.yamlfile.units import format_duration, format_size

LONGEST_S = 366 * 24 * 3600.0
MOST_TASKS = 10_000_000  # of one stream
MOST_FAULTS = 100_000  # of one entry


def excesses(scenario: Scenario) -> Iterator[Complaint]:
    """Yield what is beyond any run that could be judged."""
    if scenario.length_s > LONGEST_S:
        path = (
            ("duration",)
            if scenario.duration is not None
            else ("phases",)
            if scenario.phases
            else ("random",)
        )
        message = f"the run would take {format_duration(scenario.length_s)}; a year is the most"
        yield Complaint(path, message, "check the unit")
    for index, stream in enumerate(scenario.workload):
        task_bytes = len(json.dumps(stream.task or {}, ensure_ascii=False).encode())
        key, size = max(("payload", stream.payload or 0), ("task", task_bytes), key=lambda it: it[1])
        if size > MAX_PAYLOAD_BYTES:
            message = f"a task of {format_size(size)}; a message has {format_size(MAX_PAYLOAD_BYTES)} at most"
            yield Complaint(("workload", index, key), message, "make it smaller")
        tasks = _tasks(scenario, stream)
        if tasks > MOST_TASKS:
            key = "rate" if stream.rate is not None else "every"
            message = f"this stream would send {tasks:,.0f} tasks; {MOST_TASKS:,} are the most"
            yield Complaint(("workload", index, key), message, "check the unit, or end it with `tasks`")
    for index, fault in enumerate(scenario.faults):
        strikes = _strikes(scenario, fault)
        if strikes > MOST_FAULTS:
            message = f"this fault would happen {strikes:,.0f} times; {MOST_FAULTS:,} are the most"
            yield Complaint(("faults", index, "every"), message, "check the unit, or end it with `times`")


def _tasks(scenario: Scenario, stream: TaskStream) -> float:
    """Return about how many tasks an open stream sends that is not bounded by `tasks`."""
    if stream.tasks is not None or stream.outstanding is not None:
        return 0
    lasts_s = _end_s(scenario, stream.phase, stream.until) - (stream.at or 0)
    if stream.rate is not None:
        return lasts_s * stream.rate
    return lasts_s / stream.every * stream.burst if stream.every and stream.burst else 0


def _strikes(scenario: Scenario, fault: Fault) -> float:
    if fault.every is None or fault.times is not None:
        return 0
    return (_end_s(scenario, fault.phase, fault.until) - (fault.at or 0)) / fault.every


def _end_s(scenario: Scenario, phase: str | None, until: float | None) -> float:
    return until if until is not None else scenario.phases.get(phase or "", scenario.length_s)
