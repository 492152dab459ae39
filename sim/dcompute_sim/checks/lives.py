"""What may truly have killed each incarnation of a node, collected while the trace goes by.

Rules:

1. What befell an earlier or a later connection of the same node explains nothing. Causes are faults, stops,
   the loss of a connection, an outage of the broker; a lasting one ends some time after it is healed.
2. That the broker closed the connection is no cause. It is how a broker looks that wrongly gives up a
   healthy node; if it were an excuse, the check could not fail where it matters most.
3. A silence outlasts its fault. TCP doubles its waiting time with each retransmission [RFC 6298, 5.5], so
   what was held back for a time may arrive as much later, and the broker may lose patience meanwhile.
   `wire_stalled` and `wire_resumed` say how long it really was where the wire is seen; `wire_late`, how much
   later something comes over a link that has become slow. No silence explains anything before it has lasted
   half a keepalive: the broker waits for 1.5 of them, and a healthy node's last word before it was no older
   than one. It has lasted since what is missing was written (`missed_us`), which may be before the fault: a
   ping lost by chance is missed, too. A slow link as such, however long, explains nothing.
4. A `dead` without an incarnation (programs that know none) is about the newest connection if that may have
   died of something, else about the one before that has not been told of yet: a broker publishes the will
   of a connection when its successor takes over. Once that successor has said a status on the wire, such a
   report is false; if the two were close together, what the master sees next tells which came first: the
   status that had been said, or nothing for `_ON_THE_WAY_US` or until another is said. If the connection ends
   before, or the run, nobody can know, and the report is undecided.

Rejected: to ask at each report whether the node is connected at that moment. A node that was dead for a
second and is back was reported rightly, and one that is cut off and does not know it yet is not healthy.

Upstream: late CONNECTs of an attempt given up end the newer session, by the standard [MQTT-3.1.4-2].
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from dcompute_sim import trace as t
from dcompute_sim.checks.history import ANNOUNCED, LIFELESS, is_momentary, is_seen, stops_program
from dcompute_sim.faults.fault import Seen

ALMOST = 0.95
"""Of 1.5 keepalives: the last word was said a link's latency before the broker heard it."""
_ON_THE_WAY_US = 2_000_000  # at most, from a node by way of the broker to the master


@dataclass(slots=True)
class Cause:
    """Something that may truly have killed an incarnation.

    Attributes:
        from_us: it can have done so from then on, `until_us` until then.
    """

    why: str
    since_us: int = 0
    until_us: int | None = None
    from_us: int = 0

    def healed(self, now_us: int) -> None:
        """End its silence. What it held back may take as long again to arrive, for TCP doubles its waiting
        time with each retransmission [RFC 6298, 5.5]; the broker may lose patience meanwhile.
        """
        self.until_us = now_us + (now_us - self.since_us)


@dataclass(slots=True)
class Doubt:
    """A report without incarnation beside a first status of the newest: it may be about either connection.

    `came_first`: before that status, so that it is about the connection before, which died of `why`.
    """

    report: t.DeathReported
    inc: str
    why: str
    came_first: bool | None = None


@dataclass(slots=True)
class NodeLives:
    """What is known so far of one node."""

    lives: dict[str, list[Cause]] = field(default_factory=dict)  # in order of connection
    ongoing: dict[str, Cause] = field(default_factory=dict)  # lasting faults that have not ended
    conns: dict[int, str] = field(default_factory=dict)  # TCP connection -> incarnation
    unopened: dict[str, None] = field(default_factory=dict)  # attempts that have not reached the broker
    unclaimed: int = 0  # TCP connection whose incarnation is not known yet
    stalled: dict[int, Cause] = field(default_factory=dict)  # TCP connection that a silence holds up
    of_clone: dict[str, str] = field(default_factory=dict)  # clone -> its newest incarnation
    closings: dict[str, t.WireClosed] = field(default_factory=dict)  # by the broker, of which incarnation
    keepalive_s: float = 0.0
    client_id: str = ""  # where it is seen
    taken_by: dict[str, str] = field(default_factory=dict)  # incarnation -> who connected under its client id
    spoke_us: dict[str, int] = field(default_factory=dict)  # incarnation -> when it first said a status
    program_ended: str = ""  # of what, when it has
    doubt: Doubt | None = None  # the newest, while it is one
    told: set[str] = field(default_factory=set)  # incarnations that a report was about
    connected: set[str] = field(default_factory=set)  # incarnations that were accepted, as far as they know
    closed: set[int] = field(default_factory=set)  # TCP connections that have ended
    late: dict[int, list[Cause]] = field(default_factory=dict)  # TCP connection -> what it may do to newer
    seen_alive: str = ""  # the incarnation the present master last saw alive
    said_gone: dict[str, t.SaidGone] = field(default_factory=dict)  # by others, by the incarnation named
    only_announced: bool = True  # of its statuses the present master has seen none

    def blame(self, cause: Cause) -> None:
        """Note what the incarnations so far may have died of; later ones cannot."""
        for causes in self.lives.values():
            causes.append(cause)

    def lost(self, inc: str) -> None:
        """Note that this incarnation's connection ended; if the broker ended it, that is no cause but a
        symptom."""
        if inc in self.lives and inc not in self.closings:
            self.lives[inc].append(Cause("connection loss"))

    def stall(self, conn: int, said_us: int) -> None:
        """Note that nothing of this connection that was said then or later reaches the broker: it may lose
        patience, also after the link healed."""
        cause = self.stalled[conn] = Cause(
            "a silence that TCP outlasted", said_us, from_us=said_us + self.half_us()
        )
        self.lives.get(self.conns.get(conn, ""), []).append(cause)

    def slowed(self, conn: int, late_us: int, said_us: int) -> None:
        """Note that what it said then is longer on its way than what it said before."""
        cause = Cause("a slow link", said_us, said_us + late_us, said_us + self.half_us())
        self.lives.get(self.conns.get(conn, ""), []).append(cause)

    def half_us(self) -> int:
        """Return how long at least a healthy node's bytes must be held up until the broker may lose
        patience."""
        return round(0.5 * ALMOST * self.keepalive_s * 1e6)

    def begins(self, inc: str) -> None:
        """Reckon with older attempts. One that the node has given up may still be on its way: when its
        CONNECT arrives, the broker takes it for the newer one and ends this one [MQTT-3.1.4-2]."""
        for conn, older in self.conns.items():
            if conn not in self.closed and older in self.lives and older not in {inc, *self.connected}:
                self.come_late(inc, conn)

    def come_late(self, inc: str, *conns: int) -> None:
        """Note that the CONNECT of an older attempt may end this incarnation, while all of these connections
        last."""
        cause = Cause("an older CONNECT that came late")
        self.lives[inc].append(cause)
        for conn in conns:
            self.late.setdefault(conn, []).append(cause)

    def opened(self, conn: int) -> None:
        """Take a TCP connection that reached the broker for the newest incarnation's, unless that has one.
        Then one of the two is that of an older attempt, the handshake of which ended only now; or of a
        program that is read off its wire, the CONNECT of which is seen after that."""
        inc = self.newest()
        others = [other for other, its_inc in self.conns.items() if its_inc == inc]
        if inc and not others:
            self.conns[conn] = inc
            self.unopened.pop(inc, None)
        elif self.unopened:
            older = self.conns[conn] = next(iter(self.unopened))
            del self.unopened[older]
            self.come_late(inc, conn, *others)
        else:
            self.unclaimed = conn

    def claim(self, inc: str) -> None:
        """Give a new incarnation the connection that was opened for it, if that was seen before."""
        if self.unclaimed:
            self.conns[self.unclaimed] = inc
            self.unclaimed = 0
            self.unopened.pop(inc, None)

    def ended(self, conn: int, now_us: int) -> None:
        """End this TCP connection: nothing more of it arrives."""
        self.closed.add(conn)
        for cause in self.late.pop(conn, ()):
            cause.until_us = now_us

    def note_of_all(self, event: t.Event) -> None:
        """Take in one event that befalls nobody in particular."""
        if isinstance(event, t.BrokerStopped):
            self.blame(Cause("broker outage" if event.kept_memory else "broker that forgot its sessions"))
        elif isinstance(event, t.MasterStarted):
            self.seen_alive, self.only_announced = "", True  # to this master, which remembers nothing

    def note_of_clone(self, event: t.Event, name: str) -> None:
        """Take in one event of its double: what befalls that (a cause of its own) is no excuse."""
        if isinstance(event, t.NodeStopped) and event.how != "hang" and name in self.of_clone:
            self.lives[self.of_clone[name]].append(Cause("stop"))
        elif isinstance(event, t.NodeConnecting | t.NodeConnected) and event.inc not in self.lives:
            self.starts_a_life(event.inc, event.t_us)
            self.of_clone[name] = event.inc
        elif isinstance(event, t.NodeDisconnected):
            self.lost(event.inc)

    def starts_a_life(self, inc: str, now_us: int) -> None:
        """Begin a new incarnation: what befalls the node now may kill it, and no older one."""
        self.resolve(now_us, came_first=None)
        self.blame(Cause("a newer connection"))
        self.lives[inc] = list(self.ongoing.values())
        self.claim(inc)
        self.begins(inc)

    def note(self, event: t.Event) -> None:
        """Take in one event of its own."""
        taker = _TAKERS.get(type(event))
        if taker is not None:
            taker(self, event)

    def _status_seen(self, event: t.NodeStatusSeen) -> None:
        if event.status != ANNOUNCED:
            self.only_announced = False
        if event.status not in LIFELESS:
            if not self.only_announced:
                self.seen_alive = event.inc
            self.resolve(event.t_us, came_first=True)

    def _status_published(self, event: t.StatusPublished) -> None:
        if event.status == "offline":
            self.blame(Cause("stop"))
        else:
            self.spoke_us.setdefault(event.inc, event.t_us)
            self.resolve(event.t_us, came_first=False)

    def _connecting(self, event: t.NodeConnecting) -> None:
        if event.inc not in self.lives:
            self.unopened[event.inc] = None
            self.starts_a_life(event.inc, event.t_us)

    def _connected(self, event: t.NodeConnected) -> None:
        if event.inc not in self.lives:
            self.starts_a_life(event.inc, event.t_us)
        # As far as it knows; its broker may have known before, or not any more.
        self.connected.add(event.inc)
        self.begins(event.inc)

    def _disconnected(self, event: t.NodeDisconnected) -> None:
        self.lost(event.inc)

    def _wire_opened(self, event: t.WireOpened) -> None:
        self.opened(event.conn)

    def _wire_closed(self, event: t.WireClosed) -> None:
        inc = self.conns.get(event.conn, "")
        if event.by == "broker":
            self.closings[inc] = event
        else:
            self.lost(inc)
        self.ended(event.conn, event.t_us)

    def _wire_stalled(self, event: t.WireStalled) -> None:
        self.stall(event.conn, event.t_us - event.missed_us)

    def _wire_late(self, event: t.WireLate) -> None:
        self.slowed(event.conn, event.late_us, event.t_us - event.missed_us)

    def _wire_resumed(self, event: t.WireResumed) -> None:
        if event.conn in self.stalled:
            self.stalled.pop(event.conn).until_us = event.t_us

    def _said_gone(self, event: t.SaidGone) -> None:
        if event.who != event.node:
            self.said_gone[event.inc] = event

    def _started(self, _event: t.NodeStarted) -> None:
        self.program_ended = ""

    def _program_ended(self, event: t.ProgramEnded) -> None:
        self.program_ended = event.error or "it came to its last line"

    def _stopped(self, event: t.NodeStopped) -> None:
        if event.how != "hang":  # that one is a fault, and may pass
            self.blame(Cause("stop"))

    def _defined(self, event: t.NodeDefined) -> None:
        self.keepalive_s = event.keepalive_s

    def _connect_read(self, event: t.ConnectRead) -> None:
        self.keepalive_s, self.client_id = event.keepalive_s, event.client_id

    def _fault_ended(self, event: t.FaultEnded) -> None:
        if event.fault in self.ongoing:
            self.ongoing.pop(event.fault).healed(event.t_us)

    def _struck(self, event: t.FaultInjected) -> None:
        """Note a fault that befalls it, and that the broker may see."""
        fault, kind = event.fault, event.kind
        if is_seen(kind, Seen.CLOSED):
            self.blame(Cause(kind, event.t_us))
        elif is_seen(kind, Seen.SILENCE, Seen.MAY_BREAK):
            cause = Cause(kind, event.t_us)
            if is_seen(kind, Seen.SILENCE) and not stops_program(kind):
                cause.from_us = event.t_us + self.half_us()
            self.blame(cause)
            if not is_momentary(kind):
                self.ongoing[fault] = cause

    def newest(self) -> str:
        return next(reversed(self.lives), "")

    def resolve(self, now_us: int, came_first: bool | None) -> None:
        """Settle by what came next which of report and status was the first; None: nothing will come."""
        if self.doubt is not None:
            is_late = now_us > self.doubt.report.t_us + _ON_THE_WAY_US
            self.doubt.came_first = False if is_late else came_first
            self.doubt = None

    def knew_a_successor(self, inc: str) -> bool:
        """Say whether the master had seen a later incarnation than `inc` alive."""
        order = list(self.lives)
        return {inc, self.seen_alive} <= self.lives.keys() and order.index(self.seen_alive) > order.index(inc)

    def explanation(self, report: t.DeathReported, inc: str, grace_us: int) -> str | None:
        """Return what explains that `inc` is reported; None if nothing does.

        Args:
            grace_us: how much later than its cause a report may come.
        """
        if inc not in self.lives or self.knew_a_successor(inc):
            return None
        for cause in self.lives[inc]:
            is_over = cause.until_us is not None and report.t_us > cause.until_us + grace_us
            if not is_over and report.t_us >= cause.from_us:
                return cause.why
        return None

    def untold(self, report: t.DeathReported, grace_us: int) -> str | None:
        """Return what explains that the newest incarnation but one that was not told of yet is reported."""
        for inc in list(self.lives)[-2::-1]:
            why = None if inc in self.told else self.explanation(report, inc, grace_us)
            if why is not None:
                self.told.add(inc)
                return f"{why}, told at the next connection"
        return None


_TAKERS: dict[type[t.Event], Callable[[NodeLives, Any], None]] = {
    t.ConnectRead: NodeLives._connect_read,
    t.FaultEnded: NodeLives._fault_ended,
    t.FaultInjected: NodeLives._struck,
    t.NodeConnected: NodeLives._connected,
    t.NodeConnecting: NodeLives._connecting,
    t.NodeDefined: NodeLives._defined,
    t.NodeDisconnected: NodeLives._disconnected,
    t.NodeStarted: NodeLives._started,
    t.NodeStatusSeen: NodeLives._status_seen,
    t.NodeStopped: NodeLives._stopped,
    t.ProgramEnded: NodeLives._program_ended,
    t.SaidGone: NodeLives._said_gone,
    t.StatusPublished: NodeLives._status_published,
    t.WireClosed: NodeLives._wire_closed,
    t.WireLate: NodeLives._wire_late,
    t.WireOpened: NodeLives._wire_opened,
    t.WireResumed: NodeLives._wire_resumed,
    t.WireStalled: NodeLives._wire_stalled,
}
"""What a node's lives take in of it, and how."""
OF_INTEREST: frozenset[type] = frozenset({*_TAKERS, t.BrokerStopped, t.DeathReported, t.MasterStarted})
"""What is looked at."""


Take = Callable[[t.Event], None]
"""Takes in one event that is no report."""


def takers(nodes: Mapping[str, NodeLives], who: t.Participants, read: Iterable[str]) -> dict[str, Take]:
    """Return who takes in an event, by the name that it is about; "" where it is about nobody.

    Of most nodes nothing need be known, and of those nobody is here: that is found out with one look for each
    event of a trace.

    Args:
        nodes: all that count.
        read: the names of those that are read off their wire.
    """
    found: dict[str, Take] = {"": partial(_befalls_all, nodes.values())}
    found |= {name: lives.note for name, lives in nodes.items() if who.owner(name) == name}
    for clone, owner in who.clones():
        if owner in nodes:
            found[clone] = partial(nodes[owner].note_of_clone, name=clone)
    for name in read:
        found[name] = partial(_note_and_compare, nodes, name, found.get(name))
    return found


def _befalls_all(nodes: Iterable[NodeLives], event: t.Event) -> None:
    for lives in nodes:
        lives.note_of_all(event)


def _note_and_compare(nodes: Mapping[str, NodeLives], name: str, take: Take | None, event: t.Event) -> None:
    """Take in one event of a program that is read off its wire, and chose its client id itself."""
    if type(event) is t.ConnectRead:
        for other, lives in nodes.items():
            if other != name and lives.client_id == event.client_id:
                lives.taken_by.setdefault(lives.newest(), name)
    if take is not None:
        take(event)


__all__ = ["ALMOST", "OF_INTEREST", "Doubt", "NodeLives", "takers"]
