"""One judged run, as every report takes it: the trace, the verdict, and how to repeat it."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from dcompute_sim import trace as t
from dcompute_sim.checks.check import Check
from dcompute_sim.checks.verdict import Verdict, judge


@dataclass(frozen=True)
class RunReport:
    """What a report is made of.

    Args:
        replay: the command line that repeats the run exactly.
        wall_s: how long it took on the clock on the wall; None when judged later, from a file.
    """

    events: Sequence[t.Event]
    verdict: Verdict
    replay: str
    wall_s: float | None = None
    description: str = ""

    @property
    def started(self) -> t.RunStarted:
        """The run's first event."""
        first = self.events[0]
        assert isinstance(first, t.RunStarted)
        return first

    @property
    def name(self) -> str:
        """The combination of a matrix, as `--only` takes it; else the scenario as asked for, without its
        ending."""
        started = self.started
        return started.variation or started.scenario.removesuffix(".yaml").removesuffix(".yml")

    @property
    def simulated_s(self) -> float:
        """From the first to the last event."""
        return self.events[-1].t_s

    @cached_property
    def totals(self) -> Totals:
        """What happened, counted."""
        return Totals.of(self.events)


@dataclass
class Totals:
    """What happened, counted. A task is one, however often it was `sent`, if at all."""

    nodes: int = 0
    groups: Counter[str] = field(default_factory=Counter)
    tasks: int = 0
    sent: int = 0
    finished: int = 0
    deaths: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, events: Iterable[t.Event]) -> Totals:
        """Count once over the trace."""
        totals = cls()
        tasks: set[str] = set()
        for event in events:
            totals.events[tag(event)] += 1
            if isinstance(event, t.NodeDefined):
                totals.groups[event.group] += 1
            elif isinstance(event, t.FaultInjected):
                totals.faults[event.kind] += 1
            elif isinstance(event, (t.TaskAsked, t.TaskSent)):
                tasks.add(event.task)
        totals.nodes = totals.groups.total()
        totals.tasks = len(tasks)
        totals.sent = totals.events["task_sent"]
        totals.finished = totals.events["result_received"]
        totals.deaths = totals.events["death_reported"]
        return totals


def tag(event: t.Event) -> str:
    """Return the event's name in the trace, as in `task_taken`."""
    return str(type(event).__struct_config__.tag)


def judged(
    expectations: Sequence[Check],
    trace: Iterable[t.Event],
    replay: str = "",
    wall_s: float | None = None,
    description: str = "",
) -> RunReport:
    """Judge a trace (which must begin with run_started) for reporting."""
    events = list(trace)
    verdict = judge(expectations, events)
    started = events[0] if events else None
    if not isinstance(started, t.RunStarted):
        raise ValueError("a trace to report begins with a run_started event")
    return RunReport(events, verdict, replay or replay_command(started), wall_s, description)


def replay_command(started: t.RunStarted) -> str:
    """Return the command line that repeats a run."""
    command = ["dcompute", "run", started.scenario, "--seed", str(started.seed)]
    command += ["--broker", started.broker]
    command += ["--target", started.target] if started.target else ["--time", started.time]
    for override in started.overrides:
        if ":***@" not in override:  # a broker, which stands there; its password comes from the environment
            command += ["--set", override]
    for mutant in started.mutants:
        command += ["--mutant", mutant]
    if started.variation:
        command += ["--only", started.variation]
    return shlex.join(command)
