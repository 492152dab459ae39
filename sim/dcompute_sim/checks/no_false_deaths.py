"""Check: no healthy node is reported dead.

Rules:

1. A report names an incarnation, and is true only if something happened to that one. What befell an earlier
   or a later connection of the same node explains nothing.
2. What may have killed it is collected as `_Cause`s while the trace goes by: faults, stops, the loss of its
   connection, an outage of the broker. A lasting cause ends some time after it is healed (rule 4).
3. That the broker closed the connection is no cause. It is how a broker looks that wrongly gives up a
   healthy node; if it were an excuse, the check could not fail where it matters most.
4. A silence outlasts its fault. TCP doubles its waiting time with each retransmission [RFC 6298, 5.5], so
   what was held back for a time may arrive as much later, and the broker may lose patience meanwhile.
   `wire_stalled` and `wire_resumed` say how long it really was where the wire is seen; `wire_late`, how much
   later something comes over a link that has become slow. No silence explains anything before it has lasted
   half a keepalive: the broker waits for 1.5 of them, and a healthy node's last word before it was no older
   than one. It has lasted since what is missing was written (`missed_us`), which may be before the fault: a
   ping lost by chance is missed, too. A slow link as such, however long, explains nothing.
5. A report of an incarnation whose successor the master had already seen alive is false, whatever happened:
   a stale will that overwrote a live node's status (two boards with one id, a random client id). A node that
   was only announced to the master was not seen: that gives way to its first status (rule 9 of the registry).
6. Undecided is what nothing could have gone wrong in: no report, and no node that the master knew connected
   for as long as a broker waits for a silent one.
7. A `dead` without an incarnation (programs that know none) is about the newest connection if that may have
   died of something, else about the one before that has not been told of yet: a broker publishes the will
   of a connection when its successor takes over. Once that successor has said a status on the wire, such a
   report is false; if the two were close together, what the master sees next tells which came first: the
   status that had been said, or nothing for `_ON_THE_WAY_US` or until another is said. If the connection ends
   before, or the run, nobody can know, and the report is undecided.
8. A false report is told with what the trace knows of its making, so that somebody can act on it
   (`_False.suspicion`): it decides nothing.
9. Where the testbed itself stood still so long that a broker may have lost patience with whoever it serves,
   a report is undecided: no fault of the run explains it, and nobody else is to blame. But a node that said
   nothing for more than a keepalive in which it had its turns is.

Rejected: to ask at each report whether the node is connected at that moment. A node that was dead for a
second and is back was reported rightly, and one that is cut off and does not know it yet is not healthy.
Rejected, too: a time limit alone (reports within x seconds of a fault are excused), which excuses false
deaths beside a fault.

Upstream: amqtt leaves a returning client's old connection open and publishes its will over the new `ready`
(docs/embedded-broker.md); late CONNECTs of an attempt given up end the newer session, by the standard
[MQTT-3.1.4-2].
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from pydantic import Field

from dcompute_sim import trace as t
from dcompute_sim.checks.check import Check, CheckOutcome, failed, held, inconclusive, named, noun, of_kinds
from dcompute_sim.checks.history import ANNOUNCED, LIFELESS, is_momentary, is_seen, stops_program
from dcompute_sim.checks.own_time import Lag, lags
from dcompute_sim.faults.fault import Seen
from dcompute_sim.yamlfile.units import Duration

_ON_THE_WAY_US = 2_000_000  # at most, from a node by way of the broker to the master
_ALMOST = 0.95  # of 1.5 keepalives: the last word was said a link's latency before the broker heard it


@dataclass(slots=True)
class _Cause:
    """Something that may truly have killed an incarnation.

    Attributes:
        from_us: it can have done so from then on, `until_us` until then.
    """

    why: str
    since_us: int = 0
    until_us: int | None = None
    from_us: int = 0

    def healed(self, now_us: int) -> None:
        """The silence is over. What it held back may take as long again to arrive, for TCP doubles its
        waiting time with each retransmission [RFC 6298, 5.5]; the broker may lose patience meanwhile.
        """
        self.until_us = now_us + (now_us - self.since_us)


@dataclass(slots=True)
class _Doubt:
    """A report without incarnation beside a first status of the newest: it may be about either connection.

    `came_first`: before that status, so that it is about the connection before, which died of `why`.
    """

    report: t.DeathReported
    inc: str
    why: str
    came_first: bool | None = None


@dataclass(slots=True)
class _NodeLives:
    """What is known so far of one node."""

    lives: dict[str, list[_Cause]] = field(default_factory=dict)  # in order of connection
    ongoing: dict[str, _Cause] = field(default_factory=dict)  # lasting faults that have not ended
    conns: dict[int, str] = field(default_factory=dict)  # TCP connection -> incarnation
    unopened: dict[str, None] = field(default_factory=dict)  # attempts that have not reached the broker
    unclaimed: int = 0  # TCP connection whose incarnation is not known yet
    stalled: dict[int, _Cause] = field(default_factory=dict)  # TCP connection that a silence holds up
    of_clone: dict[str, str] = field(default_factory=dict)  # clone -> its newest incarnation
    closings: dict[str, t.WireClosed] = field(default_factory=dict)  # by the broker, of which incarnation
    keepalive_s: float = 0.0
    client_id: str = ""  # where it is seen
    taken_by: dict[str, str] = field(default_factory=dict)  # incarnation -> who connected under its client id
    spoke_us: dict[str, int] = field(default_factory=dict)  # incarnation -> when it first said a status
    program_ended: str = ""  # of what, when it has
    doubt: _Doubt | None = None  # the newest, while it is one
    told: set[str] = field(default_factory=set)  # incarnations that a report was about
    connected: set[str] = field(default_factory=set)  # incarnations that were accepted, as far as they know
    closed: set[int] = field(default_factory=set)  # TCP connections that have ended
    late: dict[int, list[_Cause]] = field(default_factory=dict)  # TCP connection -> what it may do to newer
    seen_alive: str = ""  # the incarnation the present master last saw alive
    said_gone: dict[str, t.SaidGone] = field(default_factory=dict)  # by others, by the incarnation named
    only_announced: bool = True  # of its statuses the present master has seen none

    def blame(self, cause: _Cause) -> None:
        """The incarnations so far may have died of this; later ones cannot."""
        for causes in self.lives.values():
            causes.append(cause)

    def lost(self, inc: str) -> None:
        """This incarnation's connection ended; if the broker ended it, that is no cause but a symptom."""
        if inc in self.lives and inc not in self.closings:
            self.lives[inc].append(_Cause("connection loss"))

    def stall(self, conn: int, said_us: int) -> None:
        """Nothing of this connection that was said then or later reaches the broker: it may lose patience,
        also after the link healed."""
        cause = self.stalled[conn] = _Cause(
            "a silence that TCP outlasted", said_us, from_us=said_us + self.half_us()
        )
        self.lives.get(self.conns.get(conn, ""), []).append(cause)

    def slowed(self, conn: int, late_us: int, said_us: int) -> None:
        """What it said then is longer on its way than what it said before."""
        cause = _Cause("a slow link", said_us, said_us + late_us, said_us + self.half_us())
        self.lives.get(self.conns.get(conn, ""), []).append(cause)

    def half_us(self) -> int:
        """How long at least a healthy node's bytes must be held up until the broker may lose patience."""
        return round(0.5 * _ALMOST * self.keepalive_s * 1e6)

    def begins(self, inc: str) -> None:
        """An older attempt that the node has given up may still be on its way: when its CONNECT arrives, the
        broker takes it for the newer one and ends this one [MQTT-3.1.4-2]."""
        for conn, older in self.conns.items():
            if conn not in self.closed and older in self.lives and older not in {inc, *self.connected}:
                self.come_late(inc, conn)

    def come_late(self, inc: str, *conns: int) -> None:
        """The CONNECT of an older attempt may end this incarnation, while all of these connections last."""
        cause = _Cause("an older CONNECT that came late")
        self.lives[inc].append(cause)
        for conn in conns:
            self.late.setdefault(conn, []).append(cause)

    def opened(self, conn: int) -> None:
        """This TCP connection reached the broker: the newest incarnation's, unless that has one. Then one of
        the two is that of an older attempt, the handshake of which ended only now; or of a program that is
        read off its wire, the CONNECT of which is seen after that."""
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
        """A new incarnation, on the connection that was opened for it, if that was seen before."""
        if self.unclaimed:
            self.conns[self.unclaimed] = inc
            self.unclaimed = 0
            self.unopened.pop(inc, None)

    def ended(self, conn: int, now_us: int) -> None:
        """This TCP connection is over: nothing more of it arrives."""
        self.closed.add(conn)
        for cause in self.late.pop(conn, ()):
            cause.until_us = now_us

    def note_of_all(self, event: t.Event) -> None:
        """Take in one event that befalls nobody in particular."""
        if isinstance(event, t.BrokerStopped):
            self.blame(_Cause("broker outage" if event.kept_memory else "broker that forgot its sessions"))
        elif isinstance(event, t.MasterStarted):
            self.seen_alive, self.only_announced = "", True  # to this master, which remembers nothing

    def note_of_clone(self, event: t.Event, name: str) -> None:
        """Take in one event of its double: what befalls that (a cause of its own) is no excuse."""
        if isinstance(event, t.NodeStopped) and event.how != "hang" and name in self.of_clone:
            self.lives[self.of_clone[name]].append(_Cause("stop"))
        elif isinstance(event, t.NodeConnecting | t.NodeConnected) and event.inc not in self.lives:
            self.starts_a_life(event.inc, event.t_us)
            self.of_clone[name] = event.inc
        elif isinstance(event, t.NodeDisconnected):
            self.lost(event.inc)

    def starts_a_life(self, inc: str, now_us: int) -> None:
        """A new incarnation: what befalls the node now may kill it, and no older one."""
        self.resolve(now_us, came_first=None)
        self.blame(_Cause("a newer connection"))
        self.lives[inc] = list(self.ongoing.values())
        self.claim(inc)
        self.begins(inc)

    def note(self, event: t.Event) -> None:
        """Take in one event of its own."""
        match event:  # the most frequent first
            case t.NodeStatusSeen(status=status, inc=inc):
                if status != ANNOUNCED:
                    self.only_announced = False
                if status not in LIFELESS:
                    if not self.only_announced:
                        self.seen_alive = inc
                    self.resolve(event.t_us, came_first=True)
            case t.NodeConnecting(inc=inc) | t.NodeConnected(inc=inc) if inc not in self.lives:
                if isinstance(event, t.NodeConnecting):
                    self.unopened[inc] = None
                self.starts_a_life(inc, event.t_us)
            case t.NodeStarted():
                self.program_ended = ""
            case t.SaidGone(who=who, node=node) if who != node:
                self.said_gone[event.inc] = event
            case t.ProgramEnded(error=error):
                self.program_ended = error or "it came to its last line"
            case t.NodeDefined(keepalive_s=keepalive_s):
                self.keepalive_s = keepalive_s
            case t.ConnectRead(keepalive_s=keepalive_s, client_id=client_id):
                self.keepalive_s, self.client_id = keepalive_s, client_id
            case t.WireOpened(conn=conn):
                self.opened(conn)
            case t.WireStalled(conn=conn, missed_us=missed_us):
                self.stall(conn, event.t_us - missed_us)
            case t.WireLate(conn=conn, late_us=late_us, missed_us=missed_us):
                self.slowed(conn, late_us, event.t_us - missed_us)
            case t.WireResumed(conn=conn) if conn in self.stalled:
                self.stalled.pop(conn).until_us = event.t_us
            case t.WireClosed(conn=conn, by="broker"):
                self.closings[self.conns.get(conn, "")] = event
            case t.WireClosed(conn=conn):
                self.lost(self.conns.get(conn, ""))
            case t.NodeDisconnected(inc=inc):
                self.lost(inc)
            case t.StatusPublished(status="offline"):
                self.blame(_Cause("stop"))
            case t.NodeStopped(how=how) if how != "hang":  # that one is a fault, and may pass
                self.blame(_Cause("stop"))
            case t.FaultInjected(fault=fault, kind=kind) if is_seen(kind, Seen.CLOSED):
                self.blame(_Cause(kind, event.t_us))
            case t.FaultInjected(fault=fault, kind=kind) if is_seen(kind, Seen.SILENCE, Seen.MAY_BREAK):
                cause = _Cause(kind, event.t_us)
                if is_seen(kind, Seen.SILENCE) and not stops_program(kind):
                    cause.from_us = event.t_us + self.half_us()
                self.blame(cause)
                if not is_momentary(kind):
                    self.ongoing[fault] = cause
            case t.FaultEnded(fault=fault) if fault in self.ongoing:
                self.ongoing.pop(fault).healed(event.t_us)
            case _:
                pass
        if isinstance(event, t.WireClosed):
            self.ended(event.conn, event.t_us)
        elif isinstance(event, t.NodeConnected):
            # As far as it knows; its broker may have known before, or not any more.
            self.connected.add(event.inc)
            self.begins(event.inc)

    def newest(self) -> str:
        return next(reversed(self.lives), "")

    def resolve(self, now_us: int, came_first: bool | None) -> None:
        """What came next says which of report and status was the first; None: nothing will."""
        if self.doubt is not None:
            is_late = now_us > self.doubt.report.t_us + _ON_THE_WAY_US
            self.doubt.came_first = False if is_late else came_first
            self.doubt = None

    def knew_a_successor(self, inc: str) -> bool:
        """The master had seen a later incarnation than `inc` alive."""
        order = list(self.lives)
        return {inc, self.seen_alive} <= self.lives.keys() and order.index(self.seen_alive) > order.index(inc)

    def untold(self, check: NoFalseDeaths, report: t.DeathReported) -> str | None:
        """What explains that the newest incarnation but one that was not told of yet is reported."""
        for inc in list(self.lives)[-2::-1]:
            why = None if inc in self.told else check._explanation(self, report, inc)
            if why is not None:
                self.told.add(inc)
                return f"{why}, told at the next connection"
        return None


class NoFalseDeaths(Check):
    """Every death the master reports has a cause: a fault, a stop, a connection loss or a broker outage.

    The cause must concern the incarnation the report names. False are, above all, a report about an
    incarnation whose successor the master had already seen (a stale will), and one about a connected node
    that nothing happened to. A connection that the broker closed is no excuse: that is how a broker that
    wrongly gives up a healthy node looks. A silence that healed explains a report while it lasts, as long
    again (TCP's retransmissions may come that late), until the connection it held up carries bytes again
    (later still, if a retransmission was lost), and for `grace`; none explains one that comes before the
    broker can have lost patience. A link that has become slow explains one only while something is on its way
    for so much longer than the word before that the broker loses patience. An attempt that the node gave up
    there explains one as long as its bytes may arrive: the broker takes the older CONNECT for the newer.

    It is put to the test by every report, and by every node that keeps one connection for as long as a silent
    one may go unnoticed (1.5 x keepalive [MQTT-3.1.2-24] and the broker's granularity): before, nobody could
    have given it up for its silence.

    Limit: a master restart explains nothing, so a master that declares idle nodes dead fails this.
    """

    name: ClassVar[str] = "no_false_deaths"
    occasion: ClassVar[str] = "a node that is connected for longer than 1.5 of its keepalives"

    grace: Duration = Field(default=2.0, description="How much later than that a report may come.")

    def judge(self, trace: Sequence[t.Event]) -> CheckOutcome:
        # of the others, in a healthy fleet all, nothing need be known
        reported = of_kinds({t.DeathReported}, trace)
        nodes = {event.node: _NodeLives() for event in reported if isinstance(event, t.DeathReported)}
        who = t.Participants(trace)
        tally = _Reports()
        watch = _LongestConnections()
        for event in of_kinds(_OF_INTEREST, trace):
            if isinstance(event, t.DeathReported):
                self._judge_report(nodes[event.node], event, tally)
                continue
            watch.note(event)
            _note(nodes, event, who)
        return tally.outcome(watch, trace, round(self.grace * 1e6))

    def _judge_report(self, node: _NodeLives, report: t.DeathReported, tally: _Reports) -> None:
        inc = report.inc or node.newest()
        why = self._explanation(node, report, inc)
        spoke_us = node.spoke_us.get(inc)
        if why is None and not report.inc and not (spoke_us is not None and self._is_past(spoke_us, report)):
            why = node.untold(self, report)
            if why is not None and spoke_us is not None:
                node.doubt = _Doubt(report, inc, why)
                tally.doubts.append((node, node.doubt))
                return
        node.told.add(inc)
        if why is not None:
            tally.causes[why] += 1
        else:
            is_stale = node.knew_a_successor(inc)
            tally.false.append(_False(report, node, inc, is_stale, node.program_ended))

    def _is_past(self, since_us: int, report: t.DeathReported) -> bool:
        return report.t_us > since_us + round(self.grace * 1e6)

    def _explanation(self, node: _NodeLives, report: t.DeathReported, inc: str) -> str | None:
        """What explains that `inc` is reported; None if nothing does."""
        if inc not in node.lives or node.knew_a_successor(inc):
            return None
        for cause in node.lives[inc]:
            is_over = cause.until_us is not None and self._is_past(cause.until_us, report)
            if not is_over and report.t_us >= cause.from_us:
                return cause.why
        return None


@dataclass(slots=True)
class _False:
    """A report without a cause. What its wire tells of it may come later, so it is looked into at the end."""

    report: t.DeathReported
    node: _NodeLives
    inc: str
    is_stale: bool
    ended: str = ""  # of what its program had ended by then

    def lag(self, lags: Sequence[Lag], grace_us: int) -> Lag | None:
        """The testbed's own standstill that may have made the broker lose patience and close; None if a node
        that had been served all the while would have been given up as well."""
        closing, keepalive_us = self.node.closings.get(self.inc), self.node.keepalive_s * 1e6
        if closing is None or self.is_stale:
            return None
        spoke_us = closing.t_us - closing.quiet_us
        served_us = closing.quiet_us - sum(
            max(0, min(lag.until_us, closing.t_us) - max(lag.since_us, spoke_us)) for lag in lags
        )
        if served_us > keepalive_us:  # it had its turns, and sent no ping
            return None
        for lag in lags:
            lost_patience_us = lag.since_us + self.node.half_us()
            is_over = self.report.t_us > lag.until_us + grace_us
            if lost_patience_us <= min(lag.until_us, self.report.t_us) and not is_over:
                return lag
        return None

    def suspicion(self) -> str:
        """What most likely made it, in words that somebody can act on."""
        node = self.node
        closing = node.closings.get(self.inc)
        if self.report.cause == "silent":
            return "the master itself gave it up: it said nothing for `liveness` after an outage"
        if self.inc not in node.lives:
            return (
                "its `dead` names a connection that nobody saw: an old retained message, or somebody else's"
            )
        if self.is_stale and self.inc in node.said_gone:
            said = node.said_gone[self.inc]
            return (
                f"{said.who} published the `{said.status}` of an older connection after its successor had "
                "spoken: the master took it for news, although its `inc` is not the newest"
            )
        if self.is_stale:
            return (
                "the will of an older connection came after its successor had spoken: "
                "another client id at each connection, or a second board with this id"
            )
        if self.inc in node.taken_by:
            return f"{node.taken_by[self.inc]} connected under the same client id, `{node.client_id}`"
        if self.ended:
            return f"its program had ended: {self.ended}"
        if closing is None:
            return "nobody had closed its connection: somebody else published `dead` in its name"
        quiet_s = closing.quiet_us / 1e6
        if node.keepalive_s and quiet_s >= _ALMOST * 1.5 * node.keepalive_s:
            return (
                f"nothing was sent for {quiet_s:.0f} s at a keepalive of {node.keepalive_s:g} s: no PINGREQ"
            )
        return (
            f"the broker closed its connection {quiet_s:.1f} s after its last word: a packet or a size that "
            "it refuses, or a second client with this id"
        )


@dataclass(slots=True)
class _Reports:
    """What became of the reports."""

    false: list[_False] = field(default_factory=list)
    doubts: list[tuple[_NodeLives, _Doubt]] = field(default_factory=list)
    unknown: list[t.Event] = field(default_factory=list)
    causes: Counter[str] = field(default_factory=Counter)

    def outcome(self, watch: _LongestConnections, trace: Sequence[t.Event], grace_us: int) -> CheckOutcome:
        """Judge by it."""
        watched = watch.long_enough(trace)
        for node, doubt in self.doubts:
            node.resolve(trace[-1].t_us, came_first=None)
            if doubt.came_first is None:
                self.unknown.append(doubt.report)
            elif doubt.came_first:
                self.causes[doubt.why] += 1
            else:
                self.false.append(_False(doubt.report, node, doubt.inc, is_stale=True))
        reports = self.causes.total() + len(self.false) + len(self.unknown)
        standstills = lags(trace) if self.false else []
        lagged = [(each, lag) for each in self.false if (lag := each.lag(standstills, grace_us)) is not None]
        if lagged:
            self.false = [each for each in self.false if all(each is not other for other, _ in lagged)]
        figures: dict[str, float | int | str] = {
            "reports": reports,
            "false": len(self.false),
            "unknown": len(self.unknown),
            "watched": watched,
        }
        figures |= {f"by {why}": count for why, count in sorted(self.causes.items())}
        if self.false:
            suspicions: dict[str, dict[str, None]] = {}
            for false in self.false:
                suspicions.setdefault(false.suspicion(), {})[false.report.node] = None
            told = "; ".join(f"{named(list(nodes))}: {why}" for why, nodes in suspicions.items())
            return failed(
                f"{len(self.false)} of {reports} reported deaths have no cause in this run; {told}",
                [false.report for false in self.false],
                figures,
            )
        if self.unknown:
            whose = named(list(dict.fromkeys(getattr(event, "node", "") for event in self.unknown)))
            told = (
                f"{len(self.unknown)} of {reports} reported deaths may be about either of two connections "
                f"of {whose}: a `dead` names no incarnation, and came as the newer one spoke up, and ended"
            )
            return inconclusive(told, figures)
        if lagged:
            whose = named(list(dict.fromkeys(each.report.node for each, _ in lagged)))
            late_s = max(lag.lag_us for _, lag in lagged) / 1e6
            told = (
                f"the testbed itself was {late_s:.1f} s late, so that the broker may have lost patience with "
                f"{whose}: {len(lagged)} of {reports} reported deaths have no other cause"
            )
            return inconclusive(told, figures)
        if reports:
            of = ", ".join(f"{count} {why}" for why, count in sorted(self.causes.items()))
            return held(f"{reports} reported {noun(reports, 'death')}, each with a cause: {of}", figures)
        if watched:
            unwatched = sum(1 for _ in of_kinds({t.NodeDefined}, trace)) - watched
            others = f"; {unwatched} others were never connected for so long" if unwatched else ""
            told = f"no death reported of {watched} nodes that could have been given up{others}"
            return held(told, figures)
        if not watch.longest_us:
            return inconclusive("no node ever connected", figures)
        if not watch.known:
            return inconclusive("the master never heard of a node: it could report none", figures)
        return inconclusive("no node was connected for 1.5 keepalives: none could be given up", figures)


class _LongestConnections:
    """How long each node at most kept one connection."""

    def __init__(self) -> None:
        self.longest_us: dict[str, int] = {}
        self.known: set[str] = set()  # nodes that the master has heard of
        self._keepalive_s: dict[str, float] = {}
        self._since_us: dict[str, int] = {}

    def note(self, event: t.Event) -> None:
        """Take in one event."""
        match event:
            case t.NodeStatusSeen(node=node):
                self.known.add(node)
            case t.NodeConnected(node=node):
                self._end(node, event.t_us)
                self._since_us[node] = event.t_us
            case t.NodeConnecting(node=node) | t.NodeDisconnected(node=node) | t.NodeStopped(node=node):
                self._end(node, event.t_us)
            case t.ConnectRead(node=node, keepalive_s=keepalive_s):
                self._keepalive_s[node] = keepalive_s

    def long_enough(self, trace: Sequence[t.Event]) -> int:
        """How many nodes kept one so long that a broker could have given them up for their silence."""
        for node in list(self._since_us):
            self._end(node, trace[-1].t_us)
        started = next((event for event in trace[:1] if isinstance(event, t.RunStarted)), None)
        coarse_s = started.broker_granularity_s if started is not None else 0.0
        return sum(
            event.node in self.known
            and self.longest_us.get(event.node, -1) > self._patience_us(event, coarse_s)
            for event in of_kinds({t.NodeDefined}, trace)
            if isinstance(event, t.NodeDefined)
        )

    def _patience_us(self, node: t.NodeDefined, coarse_s: float) -> float:
        """For how long nobody can give up this node for its silence."""
        keepalive_s = self._keepalive_s.get(node.node, node.keepalive_s)
        return (1.5 * keepalive_s + coarse_s) * 1e6 if keepalive_s else math.inf

    def _end(self, node: str, now_us: int) -> None:
        since_us = self._since_us.pop(node, None)
        if since_us is not None:
            self.longest_us[node] = max(self.longest_us.get(node, 0), now_us - since_us)


_OF_INTEREST = frozenset(
    {
        t.BrokerStopped,
        t.ConnectRead,
        t.DeathReported,
        t.FaultEnded,
        t.FaultInjected,
        t.MasterStarted,
        t.NodeConnected,
        t.NodeConnecting,
        t.NodeDefined,
        t.NodeDisconnected,
        t.NodeStarted,
        t.NodeStatusSeen,
        t.NodeStopped,
        t.ProgramEnded,
        t.SaidGone,
        t.StatusPublished,
        t.WireClosed,
        t.WireLate,
        t.WireOpened,
        t.WireResumed,
        t.WireStalled,
    }
)
"""What is looked at."""


def _note(nodes: dict[str, _NodeLives], event: t.Event, who: t.Participants) -> None:
    """Take in one event that is no report. `nodes`: all that were ever reported dead."""
    if isinstance(event, t.StatusPublished) and event.status != "offline":  # by far the most
        if event.node in nodes:
            nodes[event.node].spoke_us.setdefault(event.inc, event.t_us)
            nodes[event.node].resolve(event.t_us, came_first=False)
        return
    name: str = getattr(event, "node", "")
    if not name:
        for known in nodes.values():
            known.note_of_all(event)
        return
    if isinstance(event, t.ConnectRead):
        for other, lives in nodes.items():
            if other != name and lives.client_id == event.client_id:
                lives.taken_by.setdefault(lives.newest(), name)
    owner = who.owner(name)
    if owner not in nodes:
        return
    if name == owner:
        nodes[owner].note(event)
    else:
        nodes[owner].note_of_clone(event, name)
