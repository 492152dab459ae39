"""A run as pictures need it: per node, what lasted from when to when; read event by event.

Event by event, so that a run that is still going on is drawn by the same code as one that is over. What goes
on has the end OPEN, until it ends or the run does; `finish` closes it. Rows are only ever appended and
replaced where they stand, so whoever has a copy (a page) needs to be told only of the rows that changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from dcompute_sim import trace as t
from dcompute_sim.checks.check import are_kinds
from dcompute_sim.checks.history import History, InjectedFault
from dcompute_sim.checks.queue import OF_QUEUES
from dcompute_sim.faults import kind_of
from dcompute_sim.trace.replayer import Replay


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
OPEN = -1  # an end that has not come yet

Row = TypeVar("Row")


class Rows(list[Row], Generic[Row]):
    """A list that knows which of its rows are new or changed since somebody asked."""

    def __init__(self, rows: Sequence[Row] = ()) -> None:
        super().__init__(rows)
        self._changed: dict[int, None] = {}

    def put(self, row: Row) -> int:
        """Append a row; returns its index."""
        self.append(row)
        self._changed[len(self) - 1] = None
        return len(self) - 1

    def change(self, index: int, row: Row) -> None:
        """Put another row in place of this one."""
        self[index] = row
        self._changed[index] = None

    def changed(self) -> list[int]:
        """Return the indices of what is new or changed since the last call."""
        indices, self._changed = list(self._changed), {}
        return indices


@dataclass(slots=True)
class Timeline:
    """Everything to draw."""

    end_us: int = 0
    nodes: Rows[t.NodeDefined] = field(default_factory=Rows)
    statuses: Rows[TimelineSpan] = field(default_factory=Rows)  # what the master believed
    faults: Rows[TimelineSpan] = field(default_factory=Rows)
    detections: Rows[TimelineSpan] = field(default_factory=Rows)  # from a deadly fault to the master's report
    outages: Rows[TimelineSpan] = field(default_factory=Rows)
    work: Rows[Work] = field(default_factory=Rows)
    deaths: Rows[Mark] = field(default_factory=Rows)
    phases: Rows[Mark] = field(default_factory=Rows)


def timeline(events: Sequence[t.Event]) -> Timeline:
    """Read the whole trace of a run that is over."""
    builder = TimelineBuilder()
    for at, (event, wanted) in enumerate(zip(events, are_kinds(DRAWN, events), strict=True)):
        if wanted:
            builder.add(at, event)
    return builder.finish(events[-1].t_us if events else 0)


_BEGINS: dict[type[t.Event], tuple[int, str]] = {
    t.BrokerStopped: (BROKER, "broker down"),
    t.MasterStopped: (MASTER, "master away"),
    t.MasterDisconnected: (MASTER, "master away"),
}
_ENDS: dict[type[t.Event], int] = {t.BrokerStarted: BROKER, t.MasterConnected: MASTER}
_OF_FAULTS = (t.FaultInjected, t.FaultEffect, t.FaultEnded)
_OF_HISTORY = frozenset(
    {
        *_OF_FAULTS,
        t.ConnectRead,
        t.DeathReported,
        t.MasterStarted,
        t.NodeConnected,
        t.NodeConnecting,
        t.NodeDisconnected,
        t.NodeStatusSeen,
        t.NodeStopped,
        t.WireOpened,
        t.WireResumed,
        t.WireStalled,
    }
)
DRAWN: frozenset[type] = frozenset(
    [*_BEGINS, *_ENDS, *_OF_HISTORY, *OF_QUEUES, t.NodeDefined, t.PhaseStarted, t.TaskFinished]
)
"""What `TimelineBuilder.add` takes in."""


class TimelineBuilder:
    """Makes a timeline of a run, event by event."""

    def __init__(self) -> None:
        self.line = Timeline()
        self._history = History()
        self._queues = Replay()
        self.lanes: dict[str, int] = {}  # by node
        self._status: dict[int, int] = {}  # lane -> the row that is open
        self._outage: dict[int, int] = {}
        self._at_work: dict[int, dict[str, int]] = {}  # lane -> task -> its row
        self._fault: dict[str, int] = {}
        self._detection: dict[str, int] = {}

    def add(self, at: int, event: t.Event) -> None:
        """Take in the event at this position of the trace."""
        kind = type(event)
        line = self.line
        if kind in _OF_HISTORY:
            self._history.add(at, event)
        match event:  # the most frequent first
            case t.NodeStatusSeen(node=node, status=status, inc=inc):
                lane = self._lane(node)
                self._end_status(lane, event.t_us)
                self._status[lane] = line.statuses.put(TimelineSpan(lane, event.t_us, OPEN, status, inc))
            case t.TaskTaken():
                self._take(event)
            case t.TaskFinished(node=node, task=task):
                row = self._at_work.get(self._lane(node), {}).pop(task, None)
                if row is not None:
                    line.work.change(row, replace(line.work[row], end_us=event.t_us, finished=True))
            case t.NodeStopped(node=node, how=how):
                lane = self._lane(node)  # of a clone, perhaps nothing else is known
                if how != "hang":
                    for row in self._at_work.pop(lane, {}).values():
                        line.work.change(row, replace(line.work[row], end_us=event.t_us))
            case t.DeathReported(node=node, cause=cause, inc=inc):
                line.deaths.put(Mark(self._lane(node), event.t_us, cause, inc))
                self._detect(node)
            case t.FaultInjected(fault=fault) | t.FaultEffect(fault=fault) | t.FaultEnded(fault=fault):
                if fault in self._history.faults:
                    self._show_fault(self._history.faults[fault])
            case t.NodeDefined():
                self._define(event)
            case t.PhaseStarted(phase=phase):
                line.phases.put(Mark(MASTER, event.t_us, phase))
        if kind in _BEGINS:
            lane, what = _BEGINS[kind]
            if lane not in self._outage:
                self._outage[lane] = line.outages.put(TimelineSpan(lane, event.t_us, OPEN, what))
        elif kind in _ENDS:
            outage = self._outage.pop(_ENDS[kind], None)
            if outage is not None:
                line.outages.change(outage, replace(line.outages[outage], end_us=event.t_us))
        if kind in OF_QUEUES:
            self._queues.take_in(event)

    def finish(self, end_us: int) -> Timeline:
        """Return the timeline of the whole run, which is over: whatever is still open ends now."""
        line = self.line
        line.end_us = end_us
        for lane in list(self._status):
            self._end_status(lane, end_us)
        for row in self._outage.values():
            line.outages.change(row, replace(line.outages[row], end_us=end_us))
        for rows in self._at_work.values():
            for row in rows.values():
                line.work.change(row, replace(line.work[row], end_us=end_us))
        for fault in self._history.faults.values():
            row = self._fault[fault.event.fault]
            span = line.faults[row]
            if span.end_us == OPEN:  # what has no duration is a moment; a silence without end lasts
                last_us = end_us if fault.silences and span.lane != NOBODY else span.start_us
                line.faults.change(row, replace(span, end_us=last_us))
            self._show_detection(fault)
        return line

    def _lane(self, node: str) -> int:
        """Return the lane of a node; one that the engine did not define gets one when it is first told of."""
        if node not in self.lanes:
            self._define(t.NodeDefined(t_us=0, node=node, group="?", kind="unknown", keepalive_s=0.0))
        return self.lanes[node]

    def _define(self, node: t.NodeDefined) -> None:
        self.lanes[node.node] = self.line.nodes.put(node)

    def _end_status(self, lane: int, t_us: int) -> None:
        row = self._status.pop(lane, None)
        if row is not None:
            self.line.statuses.change(row, replace(self.line.statuses[row], end_us=t_us))

    def _take(self, event: t.TaskTaken) -> None:
        state = self._queues.nodes[event.node]
        received = state.waits_for(event)
        worse = next((waits.task for waits in state.waiting if waits.priority > event.priority), "")
        lane = self._lane(event.node)
        since_us = event.t_us if received is None else received.t_us
        work = Work(lane, event.task, event.priority, since_us, event.t_us, OPEN, False, worse)
        before = self._at_work.setdefault(lane, {}).pop(event.task, None)
        if before is not None:  # taken again before it was done: the first was cut off just then
            self.line.work.change(before, replace(self.line.work[before], end_us=event.t_us))
        self._at_work[lane][event.task] = self.line.work.put(work)

    def _show_fault(self, fault: InjectedFault) -> None:
        line = self.line
        lasts = fault.silences or fault.event.for_us is not None
        effects = ", ".join(effect.effect for effect in fault.effects[:5])
        end_us = fault.ended_us
        if end_us is None:
            end_us = OPEN if lasts and not fault.event.not_done else fault.start_us
        span = TimelineSpan(
            self._lane(fault.node) if fault.node else _common_lane(fault.kind),
            fault.start_us,
            end_us,
            fault.kind,
            f"{fault.event.fault}: {effects or fault.event.not_done or 'no visible effect'}",
        )
        row = self._fault.get(fault.event.fault)
        if row is None:
            self._fault[fault.event.fault] = line.faults.put(span)
        elif line.faults[row] != span:
            line.faults.change(row, span)

    def _detect(self, node: str) -> None:
        for fault in self._history.story(node).faults:
            self._show_detection(fault)

    def _show_detection(self, fault: InjectedFault) -> None:
        """Show the time from a deadly fault to the report of the death that it caused."""
        deadly = fault.closes or fault.silences
        death = self._history.report_of(fault) if deadly and not fault.reported else None
        if death is None:
            return
        lane = self._lane(fault.node)
        span = TimelineSpan(lane, fault.start_us, death.t_us, fault.kind, death.cause)
        row = self._detection.get(fault.event.fault)
        if row is None:
            self._detection[fault.event.fault] = self.line.detections.put(span)
        elif self.line.detections[row] != span:
            self.line.detections.change(row, span)


def _common_lane(kind: str) -> int:
    """Return where a fault without a node is shown."""
    cls = kind_of(kind)
    return NOBODY if cls is None else {"broker": BROKER, "master": MASTER}.get(cls.struck, NOBODY)
