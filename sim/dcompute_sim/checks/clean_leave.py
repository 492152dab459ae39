"""Check: who leaves in good order is known to have left, and loses nothing by it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from pydantic import Field

from dcompute_sim import trace as t
from dcompute_sim.checks.check import Check, CheckOutcome, excused, failed, held, inconclusive, of_kinds
from dcompute_sim.checks.history import History, InjectedFault, history_of
from dcompute_sim.faults import NodeFault, kind_of
from dcompute_sim.yamlfile.units import Duration


@dataclass(slots=True)
class _Leaving:
    """A node that was told to leave while it was connected, and what it did from then on."""

    fault: InjectedFault
    inc: str
    ended: t.NodeStopped | None = None
    back: bool = False
    offline_seen_us: int | None = None
    told_us: int | None = None
    will: t.Event | None = None
    took: t.Event | None = None
    unheard: Counter[str] = field(default_factory=Counter)  # results that the master has not got, by task


class CleanLeave(Check):
    """A node that leaves in good order is known to be `offline`, and what it finished has arrived.

    Of each node that was connected when it was told to leave: its program ends, the master sees its `offline`
    and names it to the program above within `bound`, its will is never published, it takes no task once it
    has said `offline`, every result that it handed over before its end reaches the master, and if it never
    comes back, `offline` is what the broker retains. Excused are nodes that were not connected, that
    something else silenced, or that left in an outage of the broker or the master: their will may have to
    tell.

    Limit: a result that the program had not finished is not owed; the tasks of those who left are the
    business of all_tasks_finished.
    """

    name: ClassVar[str] = "clean_leave"
    occasion: ClassVar[str] = "a node that leaves while it is connected: `{kind: leave, at: 30s}`"

    bound: Duration = Field(default=5.0, description="From being told to leave until all of it is known.")

    def judge(self, trace: Sequence[t.Event]) -> CheckOutcome:
        history = history_of(trace)
        asides: Counter[str] = Counter()
        leaving: list[_Leaving] = []
        for fault in history.faults.values():
            cls = kind_of(fault.kind)
            if cls is None or not issubclass(cls, NodeFault) or not cls.leaves or not fault.node:
                continue
            excuse = self._excuse(history, fault)
            if excuse:
                asides[excuse] += 1
            elif fault.connected_inc is not None:
                leaving.append(_Leaving(fault, fault.connected_inc))
        _follow(trace, leaving)
        broken = [(why, event) for one in leaving for why, event in self._broken(history, trace, one)]
        told = excused(asides, len(leaving))
        figures: dict[str, float | int | str] = {"left": len(leaving), "broken": len(broken), **asides}
        if broken:
            reasons = Counter(why for why, _ in broken)
            what = ", ".join(f"{count} {why}" for why, count in reasons.items())
            return failed(
                f"of {len(leaving)} that left: {what}{told}", [event for _, event in broken], figures
            )
        if not leaving:
            return inconclusive(f"no connected node was told to leave{told}", figures)
        return held(f"{len(leaving)} left in good order, all known to be offline{told}", figures)

    def _excuse(self, history: History, fault: InjectedFault) -> str:
        """Tell why nothing can be asked of this node."""
        until_us = fault.start_us + round(self.bound * 1e6)
        story = history.story(fault.node)
        if fault.connected_inc is None:
            return "had no connection"
        if fault.masked or any(
            other.start_us <= until_us and (other.ended_us is None or other.ended_us >= fault.start_us)
            for other in story.faults
            if other is not fault
        ):
            return "were struck by something else"
        if any(outage.overlaps(fault.start_us, until_us) for outage in history.outages):
            return "left in an outage"
        if history.end_us < until_us:
            return "left as the run ended"
        return ""

    def _broken(self, history: History, trace: Sequence[t.Event], one: _Leaving) -> list[tuple[str, t.Event]]:
        """Return what was not as it should be."""
        told = one.fault.event
        late_us = told.t_us + round(self.bound * 1e6)
        broken: list[tuple[str, t.Event]] = []
        if one.ended is None or one.ended.t_us > late_us:
            broken.append(("did not end in time", told))
        if one.offline_seen_us is None or one.offline_seen_us > late_us:
            broken.append(("were not seen offline in time", told))
        elif one.told_us is None or one.told_us > late_us:
            broken.append(("were not named to the program above the master", told))
        if one.will is not None:
            broken.append(("had their will published", one.will))
        if one.took is not None:
            broken.append(("took a task after their last word", one.took))
        if any(one.unheard.values()):
            broken.append(("left with results that never arrived", told))
        if one.ended is not None and not one.back and not history.forgot_after(one.ended.t_us):
            of_node = [
                event
                for event in of_kinds({t.NodeForgotten, t.RetainedStatus}, trace)
                if getattr(event, "node", "") == told.node
            ]
            kept = "" if any(isinstance(event, t.NodeForgotten) for event in of_node) else "offline"
            broken += [
                ("are not retained as offline", event)
                for event in of_node
                if isinstance(event, t.RetainedStatus) and event.status != kept
            ]
        return broken


_OF_INTEREST = frozenset(
    {
        t.DeathReported,
        t.FaultInjected,
        t.NodeStarted,
        t.NodeStatusSeen,
        t.NodeStopped,
        t.ResultDuplicate,
        t.ResultRefused,
        t.ResultHeld,
        t.ResultReceived,
        t.StatusPublished,
        t.TaskTaken,
    }
)


def _follow(trace: Sequence[t.Event], leaving: Sequence[_Leaving]) -> None:
    """Note what each did, in one pass."""
    by_fault = {one.fault.event.fault: one for one in leaving}
    names = {one.fault.node for one in leaving}
    open_results: defaultdict[str, Counter[str]] = defaultdict(
        Counter
    )  # by node: what the master has not got
    current: dict[str, _Leaving] = {}
    of_inc = {(one.fault.node, one.inc): one for one in leaving}
    silent: set[str] = set()
    for event in of_kinds(_OF_INTEREST, trace):
        node: str = getattr(event, "node", "")
        if node not in names:
            continue
        match event:
            case t.FaultInjected(fault=fault) if fault in by_fault:
                current[node] = by_fault[fault]
            case t.ResultHeld(task=task):
                open_results[node][task] += 1
            case t.ResultReceived(task=task) | t.ResultDuplicate(task=task) | t.ResultRefused(task=task):
                if open_results[node][task]:
                    open_results[node][task] -= 1
                for one in leaving:
                    if one.fault.node == node and one.unheard[task]:
                        one.unheard[task] -= 1
            case t.NodeStopped(how="exit") if node in current:
                one = current.pop(node)
                one.ended = event
                one.unheard = Counter(open_results.pop(node, Counter()))
                silent.discard(node)
            case t.NodeStopped(how=how) if how != "hang":
                open_results.pop(node, None)
                current.pop(node, None)
                silent.discard(node)
            case t.NodeStarted():
                for one in leaving:
                    one.back = one.back or (one.fault.node == node and one.ended is not None)
            case t.StatusPublished(status="offline") if node in current:
                silent.add(node)
            case t.TaskTaken() if node in silent and node in current:
                current[node].took = current[node].took or event
            case t.DeathReported(inc=inc) if (node, inc) in of_inc:
                of_inc[node, inc].told_us = of_inc[node, inc].told_us or event.t_us
            case t.NodeStatusSeen(status=status, inc=inc) if (node, inc) in of_inc:
                one = of_inc[node, inc]
                if status == "offline" and one.offline_seen_us is None:
                    one.offline_seen_us = event.t_us
                elif status == "dead" and event.t_us >= one.fault.start_us:
                    one.will = one.will or event
