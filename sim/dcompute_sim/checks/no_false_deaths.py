"""Check: no healthy node is reported dead.

Rules:

1. A report names an incarnation, and is true only if something happened to that one: `lives.py`, which also
   says what is asked of a report that names none.
2. A report of an incarnation whose successor the master had already seen alive is false, whatever happened:
   a stale will that overwrote a live node's status (two boards with one id, a random client id). A node that
   was only announced to the master was not seen: that gives way to its first status (rule 9 of the registry).
3. Undecided is what nothing could have gone wrong in: no report, and no node that the master knew connected
   for as long as a broker waits for a silent one (`longest_connections.py`).
4. What is false is looked into (`false_report.py`): undecided where the testbed itself is to blame.

Rejected: a time limit alone (reports within x seconds of a fault are excused), which excuses false deaths
beside a fault.

Upstream: amqtt leaves a returning client's old connection open and publishes its will over the new `ready`
(docs/embedded-broker.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from pydantic import Field

from dcompute.parts import noun, number_of
from dcompute_sim import trace as t
from dcompute_sim.checks.check import Check, CheckOutcome, failed, held, inconclusive, named, of_kinds
from dcompute_sim.checks.false_report import FalseReport
from dcompute_sim.checks.lives import OF_INTEREST, Doubt, NodeLives, takers
from dcompute_sim.checks.longest_connections import LongestConnections
from dcompute_sim.checks.own_time import Lag, lags
from dcompute_sim.yamlfile.units import Duration


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
        nodes = {event.node: NodeLives() for event in reported if isinstance(event, t.DeathReported)}
        who = t.Participants(of_kinds({t.ParticipantDefined}, trace))
        read = {event.node for event in of_kinds({t.ConnectRead}, trace) if isinstance(event, t.ConnectRead)}
        taker = takers(nodes, who, read)
        reports = _Reports(round(self.grace * 1e6))
        for event in of_kinds(OF_INTEREST, trace):
            if type(event) is t.DeathReported:
                reports.add(nodes[event.node], event)
            elif (take := taker.get(getattr(event, "node", ""))) is not None:
                take(event)
        return reports.outcome(LongestConnections(trace), trace)


@dataclass(slots=True)
class _Reports:
    """What became of the reports, which may come `grace_us` later than their causes end."""

    grace_us: int
    false: list[FalseReport] = field(default_factory=list)
    doubts: list[tuple[NodeLives, Doubt]] = field(default_factory=list)
    unknown: list[t.Event] = field(default_factory=list)
    causes: Counter[str] = field(default_factory=Counter)

    def add(self, node: NodeLives, report: t.DeathReported) -> None:
        """Judge one report by what is known of the node so far."""
        inc = report.inc or node.newest()
        why = node.explanation(report, inc, self.grace_us)
        if why is None and not report.inc:
            spoke_us = node.spoke_us.get(inc)
            if spoke_us is None or report.t_us <= spoke_us + self.grace_us:
                why = node.untold(report, self.grace_us)
            if why is not None and spoke_us is not None:
                node.doubt = Doubt(report, inc, why)
                self.doubts.append((node, node.doubt))
                return
        node.told.add(inc)
        if why is not None:
            self.causes[why] += 1
        else:
            is_stale = node.knew_a_successor(inc)
            self.false.append(FalseReport(report, node, inc, is_stale, node.program_ended))

    def outcome(self, watch: LongestConnections, trace: Sequence[t.Event]) -> CheckOutcome:
        """Judge by it."""
        watched = watch.long_enough()
        for node, doubt in self.doubts:
            node.resolve(trace[-1].t_us, came_first=None)
            if doubt.came_first is None:
                self.unknown.append(doubt.report)
            elif doubt.came_first:
                self.causes[doubt.why] += 1
            else:
                self.false.append(FalseReport(doubt.report, node, doubt.inc, is_stale=True))
        reports = self.causes.total() + len(self.false) + len(self.unknown)
        standstills = lags(trace) if self.false else []
        lagged = [
            (each, lag) for each in self.false if (lag := each.lag(standstills, self.grace_us)) is not None
        ]
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
            rivals = _rivals(trace)
            suspicions: dict[str, dict[str, None]] = {}
            for false in self.false:
                false.rivals = rivals.get(false.report.node, "")
                suspicions.setdefault(false.suspicion(), {})[false.report.node] = None
            told = "; ".join(f"{named(list(nodes))}: {why}" for why, nodes in suspicions.items())
            return failed(
                f"{len(self.false)} of {number_of(reports, 'reported death')} have no cause "
                f"in this run; {told}",
                [false.report for false in self.false],
                figures,
            )
        if undecided := self._undecided(lagged, reports):
            return inconclusive(undecided, figures)
        if reports:
            of = ", ".join(f"{count} {why}" for why, count in sorted(self.causes.items()))
            return held(f"{number_of(reports, 'reported death')}, each with a cause: {of}", figures)
        if watched:
            unwatched = sum(1 for _ in of_kinds({t.NodeDefined}, trace)) - watched
            others = (
                (f"; {number_of(unwatched, 'other was', 'others were')} never connected for so long")
                if unwatched
                else ""
            )
            told = f"no death reported of {number_of(watched, 'node')} that could have been given up{others}"
            return held(told, figures)
        if not watch.longest_us:
            return inconclusive("no node ever connected", figures)
        if not watch.known:
            return inconclusive("the master never heard of a node: it could report none", figures)
        return inconclusive("no node was connected for 1.5 keepalives: none could be given up", figures)

    def _undecided(self, lagged: Sequence[tuple[FalseReport, Lag]], reports: int) -> str:
        """Tell why nobody can tell whether some report is false; "" where everybody can.

        Args:
            lagged: the reports of which the testbed itself may be the cause.
            reports: how many there are in all.
        """
        if self.unknown:
            whose = named(list(dict.fromkeys(getattr(event, "node", "") for event in self.unknown)))
            return (
                f"{len(self.unknown)} of {number_of(reports, 'reported death')} may be about "
                "either of two connections "
                f"of {whose}: a `dead` names no incarnation, and came as the newer one spoke up, and ended"
            )
        if lagged:
            whose = named(list(dict.fromkeys(each.report.node for each, _ in lagged)))
            late_s = max(lag.lag_us for _, lag in lagged) / 1e6
            return (
                f"the testbed itself was {late_s:.1f} s late, so that the broker may have lost patience with "
                f"{whose}: {len(lagged)} of {number_of(reports, 'reported death')} "
                f"{noun(len(lagged), 'has', 'have')} no other cause"
            )
        return ""


def _rivals(trace: Sequence[t.Event]) -> dict[str, str]:
    """Return of each node that has its id with others who they are, in words."""
    by_id: dict[str, list[str]] = {}
    for event in of_kinds({t.NodeDefined}, trace):
        if isinstance(event, t.NodeDefined):
            by_id.setdefault(event.id or event.node, []).append(event.node)
    return {
        name: f"shares its node id, `{node_id}`, with {named(others)}: "
        "the broker throws each out for the other"
        for node_id, names in by_id.items()
        for name in names
        if (others := [other for other in names if other != name])
    }
