"""Why nodes were called dead, or were not: deaths by their cause, and the chain for those that are wrong."""

from __future__ import annotations

from collections.abc import Sequence

from dcompute_sim import trace as t
from dcompute_sim.checks.check import named
from dcompute_sim.checks.history import History, InjectedFault, history_of, is_seen
from dcompute_sim.checks.verdict import Result
from dcompute_sim.faults.fault import Seen
from dcompute_sim.report.text import plural, seconds

_CHAINS = 3
_STEPS = 6
_SO_THAT = {
    "no will": " in CONNECT: the broker has nothing to tell when the connection ends",
    "keeps its session": ": a broker that keeps one publishes no will when the node takes it over",
}
"""What it means for deaths that a node breaks the protocol so."""
_OF_DEATHS = (*_SO_THAT, "its will", "its client id", "keepalive")
"""How that begins which deaths are told by."""


def dead(events: Sequence[t.Event], result: Result) -> list[str]:
    """Return a table of deaths by cause, then for the first offending events what happened before or after
    them."""
    history = history_of(events)
    told = _by_cause(history, result)
    if not told and result.name == "dead_within":
        told = ["no death was reported at all"]
    told += _against_the_protocol(events, result)
    for event in result.outcome.offending[:_CHAINS]:
        match event:
            case t.FaultInjected(node=node, fault=name) if node and name in history.faults:
                told.append(f"{node} after {name}: {_after(events, history.faults[name])}")
            case t.DeathReported(node=node):
                told.append(f"{node} before the report: {_before(events, event)}")
    return told


def _by_cause(history: History, result: Result) -> list[str]:
    """Say of each kind of fault how many, and how soon; and how many that no fault of their nodes explains:
    for `no_false_deaths` those that it found wrong, and those that an outage or a stop explains."""
    judged_here = result.name == "no_false_deaths"
    wrong = {id(event) for event in result.outcome.offending}
    caused: dict[int, InjectedFault] = {}
    for fault in history.faults.values():
        report = history.report_of(fault) if fault.node else None
        if report is not None:
            caused[id(report)] = fault  # of several, the last one before it
    by_kind: dict[str, list[float]] = {}
    none: list[str] = []
    otherwise = 0
    for node, story in history.stories.items():
        for _, death in story.deaths:
            cause = caused.get(id(death)) or _going_on(history, node, death)
            if id(death) in wrong if judged_here else cause is None:
                none.append(node)
            elif cause is None:
                otherwise += 1
            else:
                by_kind.setdefault(cause.kind, []).append((death.t_us - cause.start_us) / 1e6)
    told = [
        f"{plural(len(after), 'death')} by {kind}, reported {_range(after)} after it"
        for kind, after in sorted(by_kind.items())
    ]
    count = len(none)
    if judged_here:  # which only names the first of them
        count = int(result.outcome.figures.get("false", count))
        otherwise = max(0, otherwise - (count - len(none)))
    if otherwise:
        told.append(f"{plural(otherwise, 'death')} after an outage, a stop or a lost connection")
    if none:
        whose = named(list(dict.fromkeys(none)))
        first = f", the first {len(none)} of them" if count > len(none) else ""
        told.append(f"{plural(count, 'death')} without a fault that explains it{first}: {whose}")
    return ["; ".join(told)] if told else []


def _going_on(history: History, node: str, death: t.DeathReported) -> InjectedFault | None:
    """Return the fault that breaks connections and was going on there then: one clone, or one link that comes
    and goes, makes many deaths."""
    for fault in reversed(history.story(node).faults):
        until_us = history.end_us if fault.ended_us is None else fault.ended_us
        if is_seen(fault.kind, Seen.MAY_BREAK) and fault.start_us <= death.t_us <= until_us:
            return fault
    return None


def _against_the_protocol(events: Sequence[t.Event], result: Result) -> list[str]:
    """Return what the broker heard of these nodes, or did not, that it tells deaths by."""
    nodes = {getattr(event, "node", "") for event in result.outcome.offending}
    broken: dict[str, list[str]] = {}
    for event in events:
        if isinstance(event, t.ProtocolBroken) and event.who in nodes and event.what.startswith(_OF_DEATHS):
            broken.setdefault(event.what, []).append(event.who)
    return [f"{named(whose)}: {what}{_SO_THAT.get(what, '')}" for what, whose in broken.items()]


def _range(values: Sequence[float]) -> str:
    low, high = seconds(min(values)), seconds(max(values))
    return low if low == high else f"{low} to {high}"


def _after(events: Sequence[t.Event], fault: InjectedFault) -> str:
    """Return what was seen of a node after a fault: each thing when it first was."""
    first: dict[str, float] = {}
    for event in events[fault.at + 1 :]:
        words = _step(event, fault.node)
        if words and words not in first:
            first[words] = event.t_s
            if len(first) == _STEPS:
                break
    if not first:
        return "nothing more was seen of it"
    return ", ".join(f"{words} at {seconds(at_s)}" for words, at_s in first.items())


def _before(events: Sequence[t.Event], report: t.Event) -> str:
    at = next(i for i, event in enumerate(events) if event is report)
    node: str = report.node  # type: ignore[attr-defined]  # a death's
    steps: list[str] = []
    for event in reversed(events[:at]):
        words = _step(event, node)
        if words and not any(step.startswith(words) for step in steps):
            steps.append(f"{words} at {seconds(event.t_s)}")
            if len(steps) == _STEPS:
                break
    return ", ".join(reversed(steps)) or "nothing was seen of it"


def _step(event: t.Event, node: str) -> str:
    if getattr(event, "node", "") != node:
        match event:
            case t.BrokerStopped():
                return "the broker stopped"
            case t.MasterDisconnected() | t.MasterStopped():
                return "the master was away"
        return ""
    match event:
        case t.FaultInjected(fault=name):
            return name
        case t.FaultEnded(fault=name):
            return f"end of {name}"
        case t.WireClosed(how=how, by=by):
            return f"connection closed by the {by} ({how})"
        case t.WireStalled():
            return "nothing passes"
        case t.WireLate(late_us=late_us):
            return f"what it says takes {seconds(late_us / 1e6)}"
        case t.NodeStopped(how=how):
            return f"its program stopped ({how})"
        case t.NodeConnected():
            return "connected"
        case t.NodeDisconnected(reason=reason):
            return f"disconnected ({reason})"
        case t.StaleDeathIgnored():
            return "a `dead` of an older connection was ignored"
        case t.DeathReported():
            return "reported dead"
        case t.NodeStatusSeen(status=status):
            return f"seen as {status}"
    return ""
