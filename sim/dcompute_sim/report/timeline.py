"""A run as pictures need it: per node, what lasted from when to when; read from the trace in one pass."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace

from dcompute_sim import trace as t
from dcompute_sim.checks.check import of_kinds
from dcompute_sim.checks.history import History, history_of
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
    history = history_of(events)
    line = Timeline(end_us=history.end_us)
    lanes = _Lanes(line.nodes)
    for event in of_kinds({t.NodeDefined, t.PhaseStarted}, events):
        if isinstance(event, t.NodeDefined):
            lanes.define(event)
        elif isinstance(event, t.PhaseStarted):
            line.phases.append(Mark(MASTER, event.t_us, event.phase))
    for node, story in history.stories.items():
        if story.stops:
            lanes.of(node)  # of a clone, perhaps nothing else is known
        ends_us = [event.t_us for _, event in story.seen[1:]] + [line.end_us]
        for (_, event), end_us in zip(story.seen, ends_us, strict=False):
            line.statuses.append(TimelineSpan(lanes.of(node), event.t_us, end_us, event.status, event.inc))
        line.deaths += [Mark(lanes.of(node), death.t_us, death.cause, death.inc) for _, death in story.deaths]
    line.deaths.sort(key=lambda death: death.t_us)
    line.work = _work(events, lanes)
    line.outages = _outages(events, BROKER, "broker down", {t.BrokerStopped}, {t.BrokerStarted})
    line.outages += _outages(
        events, MASTER, "master away", {t.MasterStopped, t.MasterDisconnected}, {t.MasterConnected}
    )
    _add_faults(line, history, lanes)
    return line


class _Lanes:
    """Which lane a node has; one that the engine did not define gets one when it is first asked for."""

    def __init__(self, nodes: list[t.NodeDefined]) -> None:
        self._nodes = nodes
        self._lanes: dict[str, int] = {}

    def define(self, node: t.NodeDefined) -> None:
        self._lanes[node.node] = len(self._nodes)
        self._nodes.append(node)

    def of(self, node: str) -> int:
        if node not in self._lanes:
            self.define(t.NodeDefined(t_us=0, node=node, group="?", kind="unknown", keepalive_s=0.0))
        return self._lanes[node]


def _outages(
    events: Sequence[t.Event], lane: int, what: str, begins: Set[type], ends: Set[type]
) -> list[TimelineSpan]:
    """From each first event that begins one to the next that ends it."""
    found: list[TimelineSpan] = []
    since_us: int | None = None
    for event in of_kinds(begins | ends, events):
        if type(event) in begins:
            since_us = event.t_us if since_us is None else since_us
        elif since_us is not None:
            found.append(TimelineSpan(lane, since_us, event.t_us, what))
            since_us = None
    if since_us is not None:
        found.append(TimelineSpan(lane, since_us, events[-1].t_us, what))
    return found


_OF_WORK = frozenset({t.NodeStopped, t.TaskFinished, t.TaskTaken})


def _work(events: Sequence[t.Event], lanes: _Lanes) -> list[Work]:
    """Every task that a node took, until it was finished or its node stopped."""
    work: list[Work] = []
    taken = {id(take.event): take for take in takes(events)}
    at_work: dict[str, dict[str, Work]] = {}  # by node and task

    def end(began: Work, end_us: int, finished: bool) -> None:
        work.append(replace(began, end_us=end_us, finished=finished))

    for event in of_kinds(_OF_WORK, events):
        match event:
            case t.TaskTaken(node=node, task=task, priority=priority):
                take = taken[id(event)]
                worse = next((waits.task for waits in take.waiting if waits.priority > priority), "")
                received_us = event.t_us if take.received is None else take.received.t_us
                began = Work(
                    lanes.of(node), task, priority, received_us, event.t_us, event.t_us, False, worse
                )
                at_work.setdefault(node, {})[task] = began
            case t.TaskFinished(node=node, task=task):
                if task in at_work.get(node, {}):
                    end(at_work[node].pop(task), event.t_us, finished=True)
            case t.NodeStopped(node=node, how=how) if how != "hang":
                for began in at_work.pop(node, {}).values():
                    end(began, event.t_us, finished=False)
    for tasks in at_work.values():
        for began in tasks.values():
            end(began, events[-1].t_us, finished=False)
    return work


def _add_faults(line: Timeline, history: History, lanes: _Lanes) -> None:
    """Add the spans of the faults, and from each deadly one to the report of the death it caused."""
    for fault in history.faults.values():
        lane = lanes.of(fault.node) if fault.node else _common_lane(fault.kind)
        end_us = fault.ended_us
        if end_us is None:  # what has no duration is a moment; a silence without end lasts
            end_us = line.end_us if fault.silences and lane != NOBODY else fault.start_us
        effects = ", ".join(effect.effect for effect in fault.effects[:5])
        detail = f"{fault.event.fault}: {effects or 'no visible effect'}"
        line.faults.append(TimelineSpan(lane, fault.start_us, end_us, fault.kind, detail))
        deadly = fault.closes or fault.silences
        death = history.report_of(fault) if deadly and not fault.reported else None
        if death is not None:
            line.detections.append(TimelineSpan(lane, fault.start_us, death.t_us, fault.kind, death.cause))


def _common_lane(kind: str) -> int:
    """Where a fault without a node is shown."""
    cls = kind_of(kind)
    return NOBODY if cls is None else {"broker": BROKER, "master": MASTER}.get(cls.struck, NOBODY)
