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
   `wire_stalled` and `wire_resumed` say how long it really was where the wire is seen.
5. A report of an incarnation whose successor the master had already seen alive is false, whatever happened:
   a stale will that overwrote a live node's status (two boards with one id, a random client id).
6. Undecided is what nothing could have gone wrong in: no report, and no node connected for as long as a
   broker waits for a silent one.

Rejected: to ask at each report whether the node is connected at that moment. A node that was dead for a
second and is back was reported rightly, and one that is cut off and does not know it yet is not healthy.
Rejected, too: a time limit alone (reports within x seconds of a fault are excused), which excuses false
deaths beside a fault.

Upstream: amqtt leaves a returning client's old connection open and publishes its will over the new `ready`
(docs/embedded-broker.md); late CONNECTs of an attempt given up end the newer session, by the standard
[MQTT-3.1.4-2].
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from pydantic import Field

from dcompute_sim import trace as t
from dcompute_sim.checks.check import Check, CheckOutcome, failed, held, inconclusive, of_kinds
from dcompute_sim.checks.history import LIFELESS, is_momentary, is_seen
from dcompute_sim.faults.fault import Seen
from dcompute_sim.yamlfile.units import Duration


@dataclass(slots=True)
class _Cause:
    """Something that may truly have killed an incarnation. `until_us`: it can have done so until then."""

    why: str
    since_us: int = 0
    until_us: int | None = None

    def healed(self, now_us: int) -> None:
        """The silence is over. What it held back may take as long again to arrive, for TCP doubles its
        waiting time with each retransmission [RFC 6298, 5.5]; the broker may lose patience meanwhile.
        """
        self.until_us = now_us + (now_us - self.since_us)


@dataclass(slots=True)
class _NodeLives:
    """What is known so far of one node."""

    lives: dict[str, list[_Cause]] = field(default_factory=dict)  # in order of connection
    ongoing: dict[str, _Cause] = field(default_factory=dict)  # lasting faults that have not ended
    conns: dict[int, str] = field(default_factory=dict)  # TCP connection -> incarnation
    stalled: dict[int, _Cause] = field(default_factory=dict)  # TCP connection that a silence holds up
    of_clone: dict[str, str] = field(default_factory=dict)  # clone -> its newest incarnation
    closed_by_broker: set[str] = field(default_factory=set)
    connected: set[str] = field(default_factory=set)  # incarnations that were accepted, as far as they know
    closed: set[int] = field(default_factory=set)  # TCP connections that have ended
    late: dict[int, list[_Cause]] = field(default_factory=dict)  # TCP connection -> what it may do to newer
    seen_alive: str = ""  # the incarnation the present master last saw alive

    def blame(self, cause: _Cause) -> None:
        """The incarnations so far may have died of this; later ones cannot."""
        for causes in self.lives.values():
            causes.append(cause)

    def lost(self, inc: str) -> None:
        """This incarnation's connection ended; if the broker ended it, that is no cause but a symptom."""
        if inc in self.lives and inc not in self.closed_by_broker:
            self.lives[inc].append(_Cause("connection loss"))

    def stall(self, conn: int, now_us: int) -> None:
        """Nothing of this connection reaches the broker: it may lose patience, also after the link healed."""
        cause = self.stalled[conn] = _Cause("a silence that TCP outlasted", now_us)
        self.lives.get(self.conns.get(conn, ""), []).append(cause)

    def came_up(self, inc: str) -> None:
        """An older attempt that the node has given up may still be on its way: when its CONNECT arrives, the
        broker takes it for the newer one and ends this one [MQTT-3.1.4-2]."""
        self.connected.add(inc)
        for conn, older in self.conns.items():
            if conn not in self.closed and older in self.lives and older not in self.connected:
                cause = _Cause("an older CONNECT that came late")
                self.late.setdefault(conn, []).append(cause)
                self.lives[inc].append(cause)

    def ended(self, conn: int, now_us: int) -> None:
        """This TCP connection is over: nothing more of it arrives."""
        self.closed.add(conn)
        for cause in self.late.pop(conn, ()):
            cause.until_us = now_us

    def newest(self) -> str:
        return next(reversed(self.lives), "")


class NoFalseDeaths(Check):
    """Every death the master reports has a cause: a fault, a stop, a connection loss or a broker outage.

    The cause must concern the incarnation the report names. False are, above all, a report about an
    incarnation whose successor the master had already seen (a stale will), and one about a connected node
    that nothing happened to. A connection that the broker closed is no excuse: that is how a broker that
    wrongly gives up a healthy node looks. A silence that healed explains a report while it lasts, as long
    again (TCP's retransmissions may come that late), until the connection it held up carries bytes again
    (later still, if a retransmission was lost), and for `grace`. So does an attempt that the node gave up on
    a slow link, as long as its bytes may still arrive: the broker takes the older CONNECT for the newer.

    It is put to the test by every report, and by every node that keeps one connection for as long as a silent
    one may go unnoticed (1.5 x keepalive [MQTT-3.1.2-24] and the broker's granularity): before, nobody could
    have given it up for its silence.

    Limit: a master restart explains nothing, so a master that declares idle nodes dead fails this.
    """

    name: ClassVar[str] = "no_false_deaths"

    grace: Duration = Field(default=2.0, description="How much later than that a report may come.")

    def judge(self, trace: Sequence[t.Event]) -> CheckOutcome:
        # of the others, in a healthy fleet all, nothing need be known
        reported = of_kinds({t.DeathReported}, trace)
        nodes = {event.node: _NodeLives() for event in reported if isinstance(event, t.DeathReported)}
        who = t.Participants(trace)
        false: list[t.Event] = []
        causes: Counter[str] = Counter()
        watch = _LongestConnections()
        for event in of_kinds(_OF_INTEREST, trace):
            if isinstance(event, t.DeathReported):
                why = self._explanation(nodes[event.node], event)
                if why is None:
                    false.append(event)
                else:
                    causes[why] += 1
                continue
            watch.note(event)
            _note(nodes, event, who)
        watched = watch.long_enough(trace)
        reports = causes.total() + len(false)
        figures: dict[str, float | int | str] = {"reports": reports, "false": len(false), "watched": watched}
        figures |= {f"by {why}": count for why, count in sorted(causes.items())}
        if false:
            return failed(f"{len(false)} of {reports} reported deaths have no cause", false, figures)
        if reports:
            return held(f"{reports} reported deaths, each with a cause", figures)
        if watched:
            return held(f"no death reported of {watched} nodes that could have been given up", figures)
        if watch.longest_us:
            return inconclusive("no node was connected for 1.5 keepalives: none could be given up", figures)
        return inconclusive("no node ever connected", figures)

    def _explanation(self, node: _NodeLives, report: t.DeathReported) -> str | None:
        """What explains this report; None if nothing does."""
        inc = report.inc or node.newest()
        order = list(node.lives)
        if inc not in node.lives:
            return None
        if node.seen_alive in node.lives and order.index(node.seen_alive) > order.index(inc):
            return None  # a stale will: the master knew its successor
        for cause in node.lives[inc]:
            if cause.until_us is None or report.t_us <= cause.until_us + round(self.grace * 1e6):
                return cause.why
        return None


class _LongestConnections:
    """How long each node at most kept one connection."""

    def __init__(self) -> None:
        self.longest_us: dict[str, int] = {}
        self._since_us: dict[str, int] = {}

    def note(self, event: t.Event) -> None:
        """Take in one event."""
        match event:
            case t.NodeConnected(node=node):
                self._end(node, event.t_us)
                self._since_us[node] = event.t_us
            case t.NodeConnecting(node=node) | t.NodeDisconnected(node=node) | t.NodeStopped(node=node):
                self._end(node, event.t_us)

    def long_enough(self, trace: Sequence[t.Event]) -> int:
        """How many nodes kept one so long that a broker could have given them up for their silence."""
        for node in list(self._since_us):
            self._end(node, trace[-1].t_us)
        started = next((event for event in trace[:1] if isinstance(event, t.RunStarted)), None)
        coarse_s = started.broker_granularity_s if started is not None else 0.0
        return sum(
            self.longest_us.get(event.node, -1) > (1.5 * event.keepalive_s + coarse_s) * 1e6
            for event in of_kinds({t.NodeDefined}, trace)
            if isinstance(event, t.NodeDefined)
        )

    def _end(self, node: str, now_us: int) -> None:
        since_us = self._since_us.pop(node, None)
        if since_us is not None:
            self.longest_us[node] = max(self.longest_us.get(node, 0), now_us - since_us)


_OF_INTEREST = frozenset(
    {
        t.BrokerStopped,
        t.DeathReported,
        t.FaultEnded,
        t.FaultInjected,
        t.MasterStarted,
        t.NodeConnected,
        t.NodeConnecting,
        t.NodeDisconnected,
        t.NodeStatusSeen,
        t.NodeStopped,
        t.StatusPublished,
        t.WireClosed,
        t.WireOpened,
        t.WireResumed,
        t.WireStalled,
    }
)
"""What is looked at."""


def _note(nodes: dict[str, _NodeLives], event: t.Event, who: t.Participants) -> None:
    """Take in one event that is no report. `nodes`: all that were ever reported dead."""
    if isinstance(event, t.StatusPublished) and event.status != "offline":
        return  # by far the most, and no cause of anything
    name: str = getattr(event, "node", "")
    if not name:
        for known in nodes.values():
            if isinstance(event, t.BrokerStopped):
                known.blame(_Cause("broker outage"))
            elif isinstance(event, t.MasterStarted):
                known.seen_alive = ""  # by this master, which remembers nothing
        return
    owned_by = who.owner(name)
    node = nodes.get(owned_by)
    if node is None:
        return
    if name != owned_by and not isinstance(event, t.NodeConnecting | t.NodeConnected | t.NodeDisconnected):
        # What befalls a clone (a cause of its own) is no excuse for its double.
        if isinstance(event, t.NodeStopped) and event.how != "hang" and name in node.of_clone:
            node.lives[node.of_clone[name]].append(_Cause("stop"))
        return
    match event:  # the most frequent first
        case t.NodeStatusSeen(status=status, inc=inc):
            if status not in LIFELESS:
                node.seen_alive = inc
        case t.NodeConnecting(inc=inc) | t.NodeConnected(inc=inc) if inc not in node.lives:
            node.blame(_Cause("a newer connection"))
            node.lives[inc] = list(node.ongoing.values())
            if name != owned_by:
                node.of_clone[name] = inc
        case t.WireOpened(conn=conn):
            node.conns[conn] = node.newest()
        case t.WireStalled(conn=conn):
            node.stall(conn, event.t_us)
        case t.WireResumed(conn=conn) if conn in node.stalled:
            node.stalled.pop(conn).until_us = event.t_us
        case t.WireClosed(conn=conn, by="broker"):
            node.closed_by_broker.add(node.conns.get(conn, ""))
        case t.WireClosed(conn=conn):
            node.lost(node.conns.get(conn, ""))
        case t.NodeDisconnected(inc=inc):
            node.lost(inc)
        case t.StatusPublished(status="offline"):
            node.blame(_Cause("stop"))
        case t.NodeStopped(how=how) if how != "hang":  # that one is a fault, and may pass
            node.blame(_Cause("stop"))
        case t.FaultInjected(fault=fault, kind=kind) if is_seen(kind, Seen.CLOSED):
            node.blame(_Cause(kind, event.t_us))
        case t.FaultInjected(fault=fault, kind=kind) if is_seen(kind, Seen.SILENCE, Seen.MAY_BREAK):
            cause = _Cause(kind, event.t_us)
            node.blame(cause)
            if not is_momentary(kind):
                node.ongoing[fault] = cause
        case t.FaultEnded(fault=fault) if fault in node.ongoing:
            node.ongoing.pop(fault).healed(event.t_us)
        case _:
            pass
    if isinstance(event, t.WireClosed):
        node.ended(event.conn, event.t_us)
    elif isinstance(event, t.NodeConnected) and name == owned_by:
        node.came_up(event.inc)
