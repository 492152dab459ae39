"""What came of each fault, in order: what a simulation and a run on boards are compared by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from dcompute_sim import trace as t
from dcompute_sim.checks.history import History, InjectedFault

Key = tuple[str, int]
"""Kind of fault, and its number among its kind, from 1: names and nodes may differ from run to run."""


@dataclass(frozen=True)
class FaultOutcome:
    """What came of one fault.

    Attributes:
        order: what happened to its node, each thing when it first did: `lost` (the connection), `dead` (the
            master reported it), `healed` (the fault was undone), `back` (connected anew), `ready`.
        dead_after_s: until the report; None without one.
        back_after_s: from the undoing until the node was connected.
    """

    node: str
    order: tuple[str, ...]
    dead_after_s: float | None
    back_after_s: float | None


def fault_outcomes(events: Sequence[t.Event]) -> dict[Key, FaultOutcome]:
    """Return what came of every fault that was done to a node, in the order of the faults."""
    history = History(events)
    counts: Counter[str] = Counter()
    found: dict[Key, FaultOutcome] = {}
    for fault in history.faults.values():
        counts[fault.kind] += 1
        if fault.node:
            found[fault.kind, counts[fault.kind]] = _outcome(events, history, fault)
    return found


def _outcome(events: Sequence[t.Event], history: History, fault: InjectedFault) -> FaultOutcome:
    until = min((f.at for f in history.story(fault.node).faults if f.at > fault.at), default=len(events))
    first: dict[str, t.Event] = {}
    for event in events[fault.at + 1 : until]:
        word = _word(event, fault, back="back" in first)
        if word:
            first.setdefault(word, event)
    healed, back = first.get("healed"), first.get("back")
    since_us = healed.t_us if healed is not None else fault.start_us
    return FaultOutcome(
        fault.node,
        tuple(first),
        (first["dead"].t_us - fault.start_us) / 1e6 if "dead" in first else None,
        (back.t_us - since_us) / 1e6 if back is not None and back.t_us >= since_us else None,
    )


def _word(event: t.Event, fault: InjectedFault, *, back: bool) -> str:
    if getattr(event, "node", "") != fault.node:
        return ""
    match event:
        case t.WireClosed():
            return "lost"
        case t.DeathReported():
            return "dead"
        case t.FaultEnded(fault=name) if name == fault.event.fault:
            return "healed"
        case t.NodeConnected():
            return "back"
        case t.NodeStatusSeen(status="ready") if back:
            return "ready"
    return ""
