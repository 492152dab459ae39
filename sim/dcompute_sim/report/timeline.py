"""A run as pictures need it: per node, what lasted from when to when; read from the trace in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from dcompute_sim import trace as t
from dcompute_sim.checks.history import History
from dcompute_sim.checks.queue import takes
from dcompute_sim.faults import kind_of


@dataclass(frozen=True, slots=True)
class TimelineSpan:
    """Something that lasted. `lane`: index into Timeline.nodes, or BROKER, MASTER or NOBODY."""

    lane: int
    start_us: int
    end_us: int
    what: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Work:
    """A task on a node, from its arrival. `end_us`: finished, or cut off by the node's end."""

    lane: int
    task: str
    priority: int
    received_us: int
    taken_us: int
    end_us: int
    finished: bool
    passed_over: str = ""  # a task of higher priority that was waiting when this one was taken


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at a moment."""

    lane: int
    t_us: int
    what: str
    detail: str = ""


BROKER, MASTER, NOBODY = -1, -2, -3  # nobody: a fault that found no node to happen to


@dataclass(slots=True)
class Timeline:
    """Everything to draw."""

    end_us: int = 0
    nodes: list[t.NodeDefined] = field(default_factory=list)
    statuses: list[TimelineSpan] = field(default_factory=list)  # what the master believed
    faults: list[TimelineSpan] = field(default_factory=list)
    detections: list[TimelineSpan] = field(default_factory=list)  # from a deadly fault to the master's report
    outages: list[TimelineSpan] = field(default_factory=list)
    work: list[Work] = field(default_factory=list)
    deaths: list[Mark] = field(default_factory=list)
    phases: list[Mark] = field(default_factory=list)


def timeline(events: Sequence[t.Event]) -> Timeline:
    """Read the whole trace."""
    builder = _TimelineBuilder(events)
    for event in events:
        builder.add(event)
    return builder.done()


class _TimelineBuilder:
    def __init__(self, events: Sequence[t.Event]) -> None:
        self._events = events
        self._line = Timeline(end_us=events[-1].t_us if events else 0)
        self._lanes: dict[str, int] = {}
        self._status: dict[int, t.NodeStatusSeen] = {}
        self._down: dict[int, t.Event] = {}
        self._received: dict[tuple[str, str, int], int] = {}
        self._working: dict[tuple[int, str], Work] = {}
        self._inversions = {
            id(take.event): worse[0].task
            for take in takes(events)
            if (worse := [task for task in take.waiting if task.priority > take.event.priority])
        }

    def add(self, event: t.Event) -> None:
        line = self._line
        match event:
            case t.NodeDefined(node=node):
                self._lanes[node] = len(line.nodes)
                line.nodes.append(event)
            case t.NodeStatusSeen(node=node):
                self._status_until(self._lane(node), event.t_us)
                self._status[self._lane(node)] = event
            case t.TaskReceived(node=node, task=task, attempt=attempt):
                self._received[node, task, attempt] = event.t_us
            case t.TaskTaken(node=node, task=task):
                self._taken(event)
            case t.TaskFinished(node=node, task=task):
                self._work_until((self._lane(node), task), event.t_us, finished=True)
            case t.NodeStopped(node=node, how=how) if how != "hang":
                lane = self._lane(node)
                for key in [key for key in self._working if key[0] == lane]:
                    self._work_until(key, event.t_us, finished=False)
            case t.DeathReported(node=node, inc=inc, cause=cause):
                line.deaths.append(Mark(self._lane(node), event.t_us, cause, inc))
            case t.PhaseStarted(phase=phase):
                line.phases.append(Mark(MASTER, event.t_us, phase))
            case t.BrokerStopped():
                self._down.setdefault(BROKER, event)
            case t.BrokerStarted():
                self._outage_until(BROKER, event.t_us)
            case t.MasterStopped() | t.MasterDisconnected():
                self._down.setdefault(MASTER, event)
            case t.MasterConnected():
                self._outage_until(MASTER, event.t_us)

    def done(self) -> Timeline:
        line = self._line
        for lane in list(self._status):
            self._status_until(lane, line.end_us)
        for key in list(self._working):
            self._work_until(key, line.end_us, finished=False)
        for lane in list(self._down):
            self._outage_until(lane, line.end_us)
        self._faults()
        return line

    def _lane(self, node: str) -> int:
        if node not in self._lanes:  # a stranger, or a node the engine did not define
            unknown = t.NodeDefined(t_us=0, node=node, group="?", kind="unknown", keepalive_s=0.0)
            self._lanes[node] = len(self._line.nodes)
            self._line.nodes.append(unknown)
        return self._lanes[node]

    def _status_until(self, lane: int, end_us: int) -> None:
        seen = self._status.pop(lane, None)
        if seen is not None:
            self._line.statuses.append(TimelineSpan(lane, seen.t_us, end_us, seen.status, seen.inc))

    def _outage_until(self, lane: int, end_us: int) -> None:
        began = self._down.pop(lane, None)
        if began is not None:
            what = "broker down" if lane == BROKER else "master away"
            self._line.outages.append(TimelineSpan(lane, began.t_us, end_us, what))

    def _taken(self, event: t.TaskTaken) -> None:
        lane = self._lane(event.node)
        received_us = self._received.pop((event.node, event.task, event.attempt), event.t_us)
        self._working[lane, event.task] = Work(
            lane=lane,
            task=event.task,
            priority=event.priority,
            received_us=received_us,
            taken_us=event.t_us,
            end_us=event.t_us,
            finished=False,
            passed_over=self._inversions.get(id(event), ""),
        )

    def _work_until(self, key: tuple[int, str], end_us: int, finished: bool) -> None:
        work = self._working.pop(key, None)
        if work is not None:
            self._line.work.append(replace(work, end_us=end_us, finished=finished))

    def _faults(self) -> None:
        """Spans of the faults, and from each deadly one to the report of the death it caused."""
        line, history = self._line, History(self._events)
        for fault in history.faults.values():
            lane = self._lane(fault.node) if fault.node else _common_lane(fault.kind)
            end_us = fault.ended_us
            if end_us is None:  # what has no duration is a moment; a silence without end lasts
                lasting = fault.silences and lane != NOBODY
                end_us = line.end_us if lasting else fault.start_us
            effects = ", ".join(effect.effect for effect in fault.effects[:5])
            detail = f"{fault.event.fault}: {effects or 'no visible effect'}"
            line.faults.append(TimelineSpan(lane, fault.start_us, end_us, fault.kind, detail))
            deadly = fault.closes or fault.silences
            death = history.report_of(fault) if deadly and not fault.reported else None
            if death is not None:
                line.detections.append(
                    TimelineSpan(lane, fault.start_us, death.t_us, fault.kind, death.cause)
                )


def _common_lane(kind: str) -> int:
    """Where a fault without a node is shown."""
    cls = kind_of(kind)
    return NOBODY if cls is None else {"broker": BROKER, "master": MASTER}.get(cls.struck, NOBODY)
