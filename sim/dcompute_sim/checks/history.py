"""The story of each node, read from the trace: its connections, its faults, what the master believed.

Shared by the checks and reports that need to know "in what state was this node when that happened".
Positions (`at`) are indices into the trace: in virtual time many events share one microsecond, and their
order in the trace is what happened.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any

from dcompute_sim import trace as t
from dcompute_sim.checks.check import are_kinds
from dcompute_sim.faults import NodeFault, kind_of
from dcompute_sim.faults.fault import Seen
from dcompute_sim.trace.replayer import NodeState, Replay

LIFELESS = frozenset({"dead", "offline"})
"""Statuses in which a node will do no work."""
ANNOUNCED = "connected"
"""Of a node that has only announced itself: to a master that gives way to its first status, whatever that
says, for anybody may announce anybody."""


def is_seen(kind: str, *ways: Seen) -> bool:
    """Say whether the broker sees a fault of this kind in one of these ways."""
    cls = kind_of(kind)
    return cls is not None and cls.seen in ways


def is_momentary(kind: str) -> bool:
    """Say whether a fault of this kind is over as soon as it is done."""
    cls = kind_of(kind)
    return cls is not None and issubclass(cls, NodeFault) and cls.momentary


def stops_program(kind: str) -> bool:
    """Say whether a node's program ends with a fault of this kind."""
    cls = kind_of(kind)
    return cls is not None and issubclass(cls, NodeFault) and cls.stops


@dataclass(slots=True)
class Life:
    """One incarnation of a node: from its CONNECT until its link ended, it stopped, or it connected anew."""

    node: str
    inc: str
    at: int
    since_us: int
    connected_us: int | None = None
    ended_us: int | None = None


@dataclass(slots=True)
class InjectedFault:
    """An injected fault, with the state of its node at that moment."""

    event: t.FaultInjected
    at: int
    life: Life | None  # the node's connection, or its attempt at one, that it hit, if there was one
    was_connected: bool  # that connection was accepted by then, as far as the node knows
    believed: str  # what the master believed of the node ("" if it did not know it)
    reported: bool  # the death of that incarnation had been reported before
    masked: bool  # an earlier silence already kept every byte of the node from the broker
    dark_since_us: int  # since when the master had not heard a connection of it; its own time if it had one
    ended_us: int | None = None
    crossed_us: int = 0  # when what an earlier silence had held up crossed during this one
    effects: list[t.FaultEffect] = field(default_factory=list)

    @property
    def connected_inc(self) -> str | None:
        """The incarnation it hit, if that one was connected."""
        return self.life.inc if self.life is not None and self.was_connected else None

    @property
    def kind(self) -> str:
        return self.event.kind

    @property
    def silences(self) -> bool:
        """Whether the broker can see it only as silence."""
        return is_seen(self.kind, Seen.SILENCE)

    @property
    def closes(self) -> bool:
        """Whether the broker sees it at once."""
        return is_seen(self.kind, Seen.CLOSED)

    @property
    def stops(self) -> bool:
        """Whether the node's program ends with it."""
        return stops_program(self.kind)

    @property
    def node(self) -> str:
        return self.event.node

    @property
    def start_us(self) -> int:
        return self.event.t_us

    @property
    def silent_since_us(self) -> int:
        """Since when the broker has heard nothing: a hung program's TCP still delivers what it had said."""
        return max(self.start_us, self.crossed_us)


@dataclass(slots=True)
class Outage:
    """The master could not hear of deaths: it or the broker was down, or they were apart."""

    start_us: int
    end_us: int | None = None

    def overlaps(self, start_us: int, end_us: int) -> bool:
        return self.start_us <= end_us and (self.end_us is None or self.end_us >= start_us)


@dataclass(slots=True)
class NodeStory:
    """Everything about one node."""

    definition: t.NodeDefined | None = None
    keepalive_s: float = 0.0  # that it told the broker, where that is seen; else the scenario's
    will: str = ""  # what is wrong with it, of a program that is read off its wire: nobody is told by it
    will_misses: str = ""  # likewise: not everybody is
    lives: list[Life] = field(default_factory=list)
    faults: list[InjectedFault] = field(default_factory=list)
    deaths: list[tuple[int, t.DeathReported]] = field(default_factory=list)
    seen: list[tuple[int, t.NodeStatusSeen]] = field(default_factory=list)
    stops: list[tuple[int, t.NodeStopped]] = field(default_factory=list)
    now: NodeState = field(default_factory=NodeState)  # at the event that was taken in last

    @property
    def means_its_will(self) -> bool:
        """Whether the scenario says that its program means its last will to be as it is."""
        return self.definition is not None and self.definition.will == "optional"

    @property
    def life(self) -> Life | None:
        """The newest incarnation so far."""
        return self.lives[-1] if self.lives else None

    @property
    def silenced(self) -> bool:
        """A fault that silences it has begun and not ended."""
        return any(fault.silences and fault.ended_us is None for fault in self.faults)

    @property
    def silent(self) -> bool:
        """Nothing it sends reaches the broker: for a fault, or for one that is over and that TCP outlasts."""
        return self.silenced or self.now.is_stalled


class History:
    """One pass over a trace. All attributes are final after construction, unless events are added later."""

    def __init__(self, trace: Sequence[t.Event] = ()) -> None:
        self.run: t.RunStarted | None = None
        self.ended: t.RunEnded | None = None
        self.length = len(trace)
        self.end_us = trace[-1].t_us if trace else 0
        self._replay = Replay()
        self.stories: dict[str, NodeStory] = {}
        self.faults: dict[str, InjectedFault] = {}
        self.outages: list[Outage] = []
        self._broker_forgot_us = -1
        self._broker_stopped_us = -1
        self._master_forgot_us = -1
        self._master_starts: list[int] = []  # positions
        for at, event in compress(enumerate(trace), are_kinds(_TAKERS, trace)):
            _TAKERS[type(event)](self, at, event)

    @property
    def granularity_s(self) -> float:
        """How late, past 1.5 x keepalive, the run's broker may notice silence."""
        return self.run.broker_granularity_s if self.run else 0.0

    def story(self, node: str) -> NodeStory:
        """Return the story of `node`, empty if the trace knows nothing of it."""
        if node not in self.stories:
            self.stories[node] = NodeStory(now=self._replay.nodes[node])
        return self.stories[node]

    def report_of(self, fault: InjectedFault) -> t.DeathReported | None:
        """Return the first report, after the fault, of the connection it hit; of any, if there was none just
        then or the master never saw it (it then learns of the death by the connection before). A master that
        has restarted remembers nothing: what counts is what this one saw, before the report and after it.
        """
        for at, death in self.story(fault.node).deaths:
            is_about_it = death.inc in ("", fault.connected_inc)
            if at > fault.at and (is_about_it or not self._knew(fault.node, fault.connected_inc, at)):
                return death
        return None

    def _knew(self, node: str, inc: str | None, at: int) -> bool:
        """Say whether the master that runs at this position ever saw this connection."""
        life = bisect(self._master_starts, at)
        return any(
            seen.inc == inc and bisect(self._master_starts, seen_at) == life
            for seen_at, seen in self.story(node).seen
        )

    def forgotten(self, fault: InjectedFault, due_us: int | None) -> bool:
        """Say whether nobody is left who could miss it: the broker lost its memory when the node had
        connected for the last time, and the master restarted and never heard of it.

        If both came before the report was due (`due_us`), that is asked of the connection that the fault hit,
        or of those that there had been: who hears of a later one knows nothing of the death of this.
        """
        story = self.story(fault.node)
        lives = story.lives
        if due_us is not None and max(self._broker_forgot_us, self._master_forgot_us) < due_us:
            known = {fault.connected_inc} - {None}
            lives = [
                life
                for life in lives
                if life.inc in known
                or (not known and life.connected_us is not None and life.connected_us <= fault.start_us)
            ]
        incs = {life.inc for life in lives}
        connected_us = max((life.connected_us or 0 for life in lives), default=0)
        heard = [seen.t_us for _, seen in story.seen if lives is story.lives or seen.inc in incs]
        return connected_us < self._broker_forgot_us and max(heard, default=0) < self._master_forgot_us

    def forgot_after(self, t_us: int) -> bool:
        """Say whether the broker lost its memory at or after this time."""
        return self._broker_forgot_us >= t_us

    def silence_s(self, node: str) -> float | None:
        """Return the longest a silent node may go unnoticed [MQTT-3.1.2-24]; None if it has no keepalive."""
        keepalive_s = self.story(node).keepalive_s
        return 1.5 * keepalive_s + self.granularity_s if keepalive_s > 0 else None

    def add(self, at: int, event: t.Event) -> None:
        """Take in the event at this position of a trace that is not finished."""
        taker = _TAKERS.get(type(event))
        if taker is not None:
            taker(self, at, event)

    def _run_started(self, _at: int, event: t.RunStarted) -> None:
        self.run = event

    def _run_ended(self, _at: int, event: t.RunEnded) -> None:
        self.ended = event

    def _defined(self, _at: int, event: t.NodeDefined) -> None:
        story = self.story(event.node)
        story.definition, story.keepalive_s = event, event.keepalive_s

    def _connect_read(self, _at: int, event: t.ConnectRead) -> None:
        story = self.story(event.node)
        story.keepalive_s, story.will, story.will_misses = event.keepalive_s, event.will, event.will_misses

    def _status_seen(self, at: int, event: t.NodeStatusSeen) -> None:
        self.story(event.node).seen.append((at, event))

    def _death_reported(self, at: int, event: t.DeathReported) -> None:
        self.story(event.node).deaths.append((at, event))

    def _connecting(self, at: int, event: t.NodeConnecting) -> None:
        story = self.story(event.node)
        _end(story.life, event.t_us)
        story.lives.append(Life(event.node, event.inc, at, event.t_us))

    def _connected(self, at: int, event: t.NodeConnected) -> None:
        story = self.story(event.node)
        life = story.life
        if life is None or life.inc != event.inc:  # a board that tells nothing of its CONNECT
            _end(life, event.t_us)
            life = Life(event.node, event.inc, at, event.t_us)
            story.lives.append(life)
        life.connected_us = event.t_us

    def _disconnected(self, _at: int, event: t.NodeDisconnected) -> None:
        for life in self.story(event.node).lives:
            if life.inc == event.inc:
                _end(life, event.t_us)

    def _stopped(self, at: int, event: t.NodeStopped) -> None:
        story = self.story(event.node)
        story.stops.append((at, event))
        if event.how != "hang":  # a hung node keeps its connection, and may go on with it
            _end(story.life, event.t_us)

    def _wire(self, _at: int, event: t.WireOpened | t.WireStalled | t.WireResumed) -> None:
        self._replay.take_in(event)
        if isinstance(event, t.WireResumed):
            for fault in self.story(event.node).faults:
                if fault.silences and fault.ended_us is None:
                    fault.crossed_us = event.t_us

    def _master_started(self, at: int, event: t.MasterStarted) -> None:
        self._master_starts.append(at)
        if event.boot > 1:
            self._master_forgot_us = event.t_us

    def _broker_stopped(self, at: int, event: t.BrokerStopped) -> None:
        self._broker_stopped_us = event.t_us
        if not event.kept_memory:
            self._broker_forgot_us = event.t_us
        self._outage_begun(at, event)

    def _outage_begun(self, _at: int, event: t.Event) -> None:
        if not self.outages or self.outages[-1].end_us is not None:
            self.outages.append(Outage(event.t_us))

    def _master_connected(self, _at: int, event: t.MasterConnected) -> None:
        """End the outage: the broker is up; a broker that is up proves nothing of the master."""
        if self.outages and self.outages[-1].end_us is None:
            self.outages[-1].end_us = event.t_us

    def _fault(self, at: int, event: t.FaultInjected | t.FaultEffect | t.FaultEnded) -> None:
        if not isinstance(event, t.FaultInjected):
            fault = self.faults.get(event.fault)
            if fault is None:
                return
            if isinstance(event, t.FaultEffect):
                fault.effects.append(event)
            else:
                fault.ended_us = event.t_us
            return
        story = self.story(event.node)
        life = story.life
        if life is not None and life.ended_us is not None and life.ended_us < event.t_us:
            life = None
        fault = InjectedFault(
            event=event,
            at=at,
            life=life,
            was_connected=life is not None and life.connected_us is not None,
            believed=story.seen[-1][1].status if story.seen else "",
            reported=life is not None and any(death.inc == life.inc for _, death in story.deaths),
            masked=story.silent,
            dark_since_us=_dark_since(story, event.t_us, self._broker_stopped_us),
        )
        self.faults[event.fault] = fault
        if event.node:
            story.faults.append(fault)


_TAKERS: dict[type[t.Event], Callable[[History, int, Any], None]] = {
    t.BrokerStopped: History._broker_stopped,
    t.ConnectRead: History._connect_read,
    t.DeathReported: History._death_reported,
    t.FaultEffect: History._fault,
    t.FaultEnded: History._fault,
    t.FaultInjected: History._fault,
    t.MasterConnected: History._master_connected,
    t.MasterDisconnected: History._outage_begun,
    t.MasterStarted: History._master_started,
    t.MasterStopped: History._outage_begun,
    t.NodeConnected: History._connected,
    t.NodeConnecting: History._connecting,
    t.NodeDefined: History._defined,
    t.NodeDisconnected: History._disconnected,
    t.NodeStatusSeen: History._status_seen,
    t.NodeStopped: History._stopped,
    t.RunEnded: History._run_ended,
    t.RunStarted: History._run_started,
    t.WireOpened: History._wire,
    t.WireResumed: History._wire,
    t.WireStalled: History._wire,
}
"""What a history takes in, and how."""

_newest: tuple[Sequence[t.Event], History] | None = None


def history_of(trace: Sequence[t.Event]) -> History:
    """Return the history of a finished trace. Several checks ask for the same one after the other: made
    once."""
    global _newest
    if _newest is None or _newest[0] is not trace or _newest[1].length != len(trace):
        _newest = (trace, History(trace))
    return _newest[1]


def _dark_since(story: NodeStory, now_us: int, broker_stopped_us: int) -> int:
    """Return since when the master could not have heard of the node. A connection that died before its first
    word reached the master does not count, nor does one that only its node believes in: the broker's end went
    down with it, and a silence kept that from the node."""
    heard = {seen.inc for _, seen in story.seen}
    for life in reversed(story.lives):
        if life.connected_us is not None and (life.inc in heard or not heard):
            ended_us = now_us if life.ended_us is None else life.ended_us
            return min(ended_us, broker_stopped_us) if broker_stopped_us > life.connected_us else ended_us
    return now_us


def _end(life: Life | None, t_us: int) -> None:
    if life is not None and life.ended_us is None:
        life.ended_us = t_us
