"""Check: every death a fault caused is reported by the master in time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from pydantic import Field

from dcompute.parts import number_of
from dcompute_sim.checks.check import (
    Check,
    CheckOutcome,
    Measurement,
    excused,
    failed,
    held,
    inconclusive,
    named,
)
from dcompute_sim.checks.history import LIFELESS, History, InjectedFault, NodeStory, history_of
from dcompute_sim.trace import Event
from dcompute_sim.yamlfile.units import Duration

_HEALED = "healed before the broker had to notice"
_TOO_SOON = "the run ended before the report was due"


@dataclass(slots=True)
class _Due:
    """When a report is due. `at_us` None: never, an outage had no end."""

    at_us: int | None
    window_us: int
    delayed: bool


@dataclass(slots=True)
class _Tally:
    """What became of the injected deaths."""

    late: list[Event] = field(default_factory=list)
    missing: list[Event] = field(default_factory=list)
    excused: Counter[str] = field(default_factory=Counter)
    undecided: Counter[str] = field(default_factory=Counter)
    samples: dict[tuple[str, float | None], list[float]] = field(default_factory=dict)
    wills: dict[str, dict[str, None]] = field(default_factory=dict)  # what is wrong with them -> the missing
    patience_s: float = (
        math.inf
    )  # the shortest silence that would have had to be noticed, of those that healed

    last_due_us: int = 0  # of the reports for which the run ended too soon

    @property
    def reported(self) -> int:
        return sum(map(len, self.samples.values()))


class DeadWithin(Check):
    """The master reports every injected death in time.

    A crash or a reset ends the connection with FIN or RST: the report is due within `bound`. A fault that
    silences the node (power cut, Wi-Fi drop, dead link, hang) is due within 1.5 x keepalive [MQTT-3.1.2-24]
    + the broker's own granularity + `bound`, counted from the fault, which is never before the node's last
    byte. Deaths in an outage of the broker or the master are due that long, and `after_outage`, after it.

    Excused: nodes the master knew dead (or did not know yet), unless they are reported all the same; silences
    that ended before the broker had to notice, or before an outage did that hid the death; and nodes of which
    neither a broker without memory nor a restarted master can know; and programs whose group says that they
    mean their last will to be such that nobody is told (`will: optional`). Limit: the bound is on the
    report's existence and time, not on its cause.
    """

    name: ClassVar[str] = "dead_within"
    occasion: ClassVar[str] = (
        "a fault that the broker has to notice, on a node that is connected: `{kind: crash, at: "
        "30s}`, or a `power_cut` that lasts longer than 1.5 keepalives"
    )

    bound: Duration = Field(default=2.0, description="Allowed beyond what the standard gives the broker.")
    after_outage: Duration = Field(
        default=20.0, description="Allowed besides after an outage: the master gives nodes time to come back."
    )
    kinds: tuple[str, ...] = Field(default=(), description="Only deaths by these faults; all by default.")

    def judge(self, trace: Sequence[Event]) -> CheckOutcome:
        history = history_of(trace)
        tally = _Tally()
        for fault in history.faults.values():
            if (fault.closes or fault.silences) and (not self.kinds or fault.kind in self.kinds):
                self._judge_fault(history, fault, tally)
        return self._outcome(tally)

    def _judge_fault(self, history: History, fault: InjectedFault, tally: _Tally) -> None:
        silence_s = history.silence_s(fault.node)
        at_once = fault.closes and not fault.masked and fault.connected_inc is not None
        due = self._due(history, fault, at_once, silence_s or 0.0)
        report = history.report_of(fault)
        in_time = report is not None and (due.at_us is None or report.t_us <= due.at_us)
        told_of_it = report is not None and fault.life is not None and report.inc == fault.life.inc
        excuse = _excuse(fault)
        if excuse and not (in_time and told_of_it):
            tally.excused[excuse] += 1
        elif silence_s is None and not at_once:
            tally.undecided["no keepalive, so nobody has to notice"] += 1
        elif report is not None and in_time:
            bound_s = None if due.delayed or fault.masked else (due.window_us / 1e6)
            tally.samples.setdefault((fault.kind, bound_s), []).append((report.t_us - fault.start_us) / 1e6)
        elif not at_once and _healed_before(
            history, fault, fault.silent_since_us + round((silence_s or 0.0) * 1e6)
        ):
            tally.excused[_HEALED] += 1
            tally.patience_s = min(tally.patience_s, silence_s or math.inf)
        elif due.delayed and _connects_before(history, fault, due.at_us):
            tally.excused["back before an outage ended that hid it"] += 1
        elif history.forgotten(fault, due.at_us):
            tally.excused["forgotten by a broker and a master that restarted"] += 1
        elif report is not None:
            tally.late += [fault.event, report]
        elif due.at_us is None:
            tally.undecided["the broker or the master stayed down"] += 1
        elif history.end_us < due.at_us:
            tally.undecided[_TOO_SOON] += 1
            tally.last_due_us = max(due.at_us, tally.last_due_us)
        else:
            self._missing(history.story(fault.node), fault, tally)

    def _missing(self, story: NodeStory, fault: InjectedFault, tally: _Tally) -> None:
        """Take in that nobody was told of this death, though somebody had to be: perhaps for want of a
        will."""
        what = f"{story.will}: so the broker tells nobody" if story.will else story.will_misses
        if what and story.means_its_will:
            tally.excused["its program's last will is as its group means it"] += 1
            return
        tally.missing.append(fault.event)
        if what:
            tally.wills.setdefault(what, {})[fault.node] = None

    def _due(self, history: History, fault: InjectedFault, at_once: bool, silence_s: float) -> _Due:
        """Return when the report is due: outages of the broker or the master put it off."""
        window_us = round((self.bound if at_once else silence_s + self.bound) * 1e6)
        after_outage_us = round((silence_s + self.bound + self.after_outage) * 1e6)
        since_us = fault.start_us if at_once else fault.silent_since_us
        due = _Due(since_us + window_us, window_us, delayed=False)
        for outage in history.outages:
            if due.at_us is not None and outage.overlaps(fault.dark_since_us, due.at_us):
                due.delayed = True
                due.at_us = None if outage.end_us is None else max(due.at_us, outage.end_us + after_outage_us)
        return due

    def _outcome(self, tally: _Tally) -> CheckOutcome:
        distributions = [
            Measurement(_label(kind, bound, tally), "s", tuple(samples), bound)
            for (kind, bound), samples in sorted(tally.samples.items(), key=lambda item: str(item[0]))
        ]
        deaths = tally.reported + len(tally.late) // 2 + len(tally.missing)
        figures: dict[str, float | int | str] = {
            "deaths": deaths,
            "in_time": tally.reported,
            "late": len(tally.late) // 2,
            "never_reported": len(tally.missing),
            "excused": tally.excused.total(),
            "undecided": tally.undecided.total(),
        }
        asides = excused(tally.excused, deaths + tally.undecided.total())
        asides += "".join(f"; {n} undecided: {why}" for why, n in sorted(tally.undecided.items()))
        if tally.last_due_us:
            asides += f", at {tally.last_due_us / 1e6:.1f} s: make the run longer, or keepalives shorter"
        if tally.late or tally.missing:
            told = f"{len(tally.missing)} of {number_of(deaths, 'death')} never reported"
            if tally.late:
                told += f", {figures['late']} reported late"
            for will, nodes in tally.wills.items():
                told += f"; {named(list(nodes))} connected with {will}"
            offending = sorted([*tally.missing, *tally.late], key=lambda event: event.t_us)
            return failed(told + asides, offending, figures, distributions)
        if not tally.reported and tally.excused[_HEALED]:
            asides += f"; what it has to notice lasts {tally.patience_s:g} s, or closes a connection"
        told = number_of(tally.reported, "death")
        if tally.undecided or not tally.reported:
            return inconclusive(f"{told} reported in time{asides}", figures, distributions)
        return held(f"{told}, all reported in time{asides}", figures, distributions)


def _excuse(fault: InjectedFault) -> str:
    """Tell why nobody has to be told of this fault; "" if somebody has."""
    if not fault.node:
        return "found no node"
    if fault.reported or fault.believed in LIFELESS:
        return "already known dead"
    if not fault.believed:
        return "not yet known to the master"
    if fault.closes and not fault.stops and fault.connected_inc is None:
        return "found no connection to end"
    return ""


def _healed_before(history: History, fault: InjectedFault, limit_us: int) -> bool:
    """Say whether the silence was over, or the node connected anew, before `limit_us`."""
    healed = fault.ended_us is not None and fault.ended_us < limit_us
    return healed or _connects_before(history, fault, limit_us)


def _connects_before(history: History, fault: InjectedFault, limit_us: int | None) -> bool:
    """Say whether the node connected anew before `limit_us` (None: ever)."""
    return any(
        life.connected_us is not None
        and fault.start_us <= life.connected_us
        and (limit_us is None or life.connected_us < limit_us)
        for life in history.story(fault.node).lives
    )


def _label(kind: str, bound: float | None, tally: _Tally) -> str:
    """Return the fault's kind, told apart from the same kind with another bound."""
    if bound is None:
        return f"{kind} (in or after another outage)"
    others = [key for key in tally.samples if key[0] == kind and key[1] is not None]
    return kind if len(others) == 1 else f"{kind} (due in {bound:g} s)"
