"""Check: tasks are quick enough, as a percentile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from dcompute.parts import number_of
from dcompute_sim.checks.check import Check, CheckOutcome, Measurement, failed, held, inconclusive
from dcompute_sim.checks.event_pattern import is_wanted
from dcompute_sim.checks.tasks import Task, tasks, unnamed
from dcompute_sim.trace import Event
from dcompute_sim.yamlfile.units import Duration

Moment = Literal["asked", "sent", "received", "taken", "finished", "result"]
_ORDER: tuple[Moment, ...] = ("asked", "sent", "received", "taken", "finished", "result")


class Latency(Check):
    """So many percent of the tasks get from one moment of their life to another in time.

    Moments: asked for (of an executor, at which it may wait), sent by the master, received by the node,
    taken, finished, result at the master. Counted from the first time a task was sent, so a task sent again
    after a death has waited that long. Limit: tasks
    that never got there are not counted (see all_tasks_finished).
    """

    name: ClassVar[str] = "latency"
    occasion: ClassVar[str] = "tasks that get that far: a stream under `workload:`"

    within: Duration = Field(description="What the percentile must not exceed.")
    percentile: float = Field(default=99.0, gt=0, le=100, description="99 means 99 tasks of 100.")
    start: Moment = Field(default="sent", description="From when.")
    end: Moment = Field(default="result", description="Until when.")
    priority: int | None = Field(default=None, ge=1, le=10, description="Only tasks of this priority.")
    task: str | None = Field(
        default=None,
        description="Only tasks of this id; `*` stands for anything: those of a stream are `<its id>-*`.",
    )

    @model_validator(mode="after")
    def _forward(self) -> Latency:
        if _ORDER.index(self.start) >= _ORDER.index(self.end):
            raise ValueError(f"`start: {self.start}` is not before `end: {self.end}`")
        return self

    def judge(self, trace: Sequence[Event]) -> CheckOutcome:
        spans = [
            (end.t_us - start.t_us, end)
            for name, task in tasks(trace).items()
            if self.task is None or is_wanted(name, self.task)
            if self.priority is None or self.priority in {event.priority for event in task.sent}
            if (start := _first(task, self.start)) and (end := _first(task, self.end))
        ]
        what = f"{self.start} to {self.end}"
        if self.end == "result" and (nameless := unnamed(trace)):
            return inconclusive(f"{number_of(len(spans), 'task')} got from {what}; {nameless}")
        if not spans:
            return inconclusive(f"no task got from {what}")
        label = f"p{self.percentile:g}"
        of = f", priority {self.priority}" if self.priority is not None else ""
        of += f", {self.task}" if self.task is not None else ""
        samples = tuple(span / 1e6 for span, _ in spans)
        measured = Measurement(f"{what}{of}, {label}", "s", samples, self.within, self.percentile)
        value = measured.percentile(self.percentile)
        figures = measured.figures() | {label: value}
        told = f"{label} of {number_of(len(spans), 'task')}, {what}: {value:.4g} s (bound {self.within:g} s)"
        if value > self.within:
            slowest = sorted(spans, key=lambda span: -span[0])
            return failed(told, [end for _, end in slowest], figures, [measured])
        return held(told, figures, [measured])


def _first(task: Task, moment: Moment) -> Event | None:
    found: Sequence[Event]
    match moment:
        case "asked":
            found = task.asked
        case "sent":
            found = task.sent
        case "received":
            found = task.received
        case "taken":
            found = task.taken
        case "finished":
            found = task.finished
        case "result":
            found = task.results
    return found[0] if found else None
