"""Check: after a fault is healed, the node works and the master knows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from pydantic import Field

from dcompute.parts import number_of
from dcompute_sim import trace as t
from dcompute_sim.checks.check import (
    Check,
    CheckOutcome,
    Measurement,
    excused,
    failed,
    held,
    inconclusive,
)
from dcompute_sim.checks.history import LIFELESS, is_momentary, is_seen
from dcompute_sim.faults.fault import Seen
from dcompute_sim.trace.replayer import NodeState, Replay
from dcompute_sim.yamlfile.units import Duration

_AT_THE_END = "undecided when the run ended"
_MUTE = "of nodes that say no status under their ids"
_UNDECIDED = frozenset({_AT_THE_END, _MUTE})


@dataclass(slots=True)
class _NodeRecoveries:
    """What is so far true of one node, and the recoveries it still owes."""

    now: NodeState
    good_since_us: int | None = None
    heard_of: bool = False  # the master has seen a status of it
    owed: list[tuple[str, t.Event]] = field(default_factory=list)  # kind of fault, event of its end

    @property
    def is_held_down(self) -> bool:
        """A fault that goes on keeps it from recovering."""
        return any(map(_holds_down, self.now.faults.values()))

    @property
    def is_mute(self) -> bool:
        """It is connected, and has never said a status under its node's id: nothing is known of it."""
        return self.now.link == "connected" and not self.heard_of

    def update(self, now_us: int) -> None:
        now = self.now
        self.heard_of = self.heard_of or bool(now.status)
        believed = bool(now.status) and now.status not in LIFELESS and now.status_inc in ("", now.inc)
        if now.link != "connected" or not believed:
            self.good_since_us = None
        elif self.good_since_us is None:
            self.good_since_us = now_us


class RecoversWithin(Check):
    """Within `bound` of a fault's end the node is connected and the master believes that it is.

    Judged at the bound: a node that connects, and is given up again before, has not recovered. Faults of
    the broker or the master are owed by every running node. Excused: nodes hit by something else meanwhile.
    Limit: a node still connected and believed alive at a fault's end has recovered in no time.
    """

    name: ClassVar[str] = "recovers_within"
    occasion: ClassVar[str] = (
        "a fault that ends, on a node that comes back: `{kind: wifi_drop, at: 30s, for: 20s}`"
    )

    bound: Duration = Field(default=30.0, description="From the fault's end.")
    kinds: tuple[str, ...] = Field(default=(), description="Only after these faults; all by default.")

    def judge(self, trace: Sequence[t.Event]) -> CheckOutcome:
        ledger = _RecoveryLedger(round(self.bound * 1e6), self.kinds)
        for event in trace:
            ledger.note(event)
        return self._outcome(ledger, trace[-1].t_us if trace else 0)

    def _outcome(self, ledger: _RecoveryLedger, end_us: int) -> CheckOutcome:
        ledger.close(end_us)
        distributions = [
            Measurement(kind, "s", tuple(samples), self.bound)
            for kind, samples in sorted(ledger.samples.items())
        ]
        recovered = sum(len(samples) for samples in ledger.samples.values())
        total = recovered + len(ledger.failures)
        figures = {"recovered": recovered, "not_recovered": len(ledger.failures), **ledger.asides}
        excuses = {why: count for why, count in ledger.asides.items() if why not in _UNDECIDED}
        open_ = {why: count for why, count in ledger.asides.items() if why in _UNDECIDED}
        asides = excused(excuses, total + sum(open_.values()))
        asides += "".join(f"; {count} {why}" for why, count in sorted(open_.items()))
        if ledger.failures:
            told = (
                f"{len(ledger.failures)} of {number_of(total, 'recovery', 'recoveries')} "
                f"did not happen in {self.bound:g} s"
            )
            return failed(told + asides, ledger.failures, figures, distributions)
        told = number_of(recovered, "recovery", "recoveries")
        if not recovered or not _UNDECIDED.isdisjoint(ledger.asides):
            return inconclusive(f"{told} seen{asides}", figures, distributions)
        return held(f"{told}, all in time{asides}", figures, distributions)


class _RecoveryLedger:
    """Who owes a recovery, and what became of it."""

    def __init__(self, bound_us: int, kinds: tuple[str, ...]) -> None:
        self.samples: dict[str, list[float]] = {}
        self.failures: list[t.Event] = []
        self.asides: Counter[str] = Counter()
        self._bound_us = bound_us
        self._kinds = kinds
        self._nodes: dict[str, _NodeRecoveries] = {}
        self._faults: dict[str, str] = {}
        self._replay = Replay()

    def note(self, event: t.Event) -> None:
        """Take in the next event."""
        name: str = getattr(event, "node", "")
        if isinstance(event, t.FaultInjected):
            self._faults[event.fault] = event.kind
        if not name:
            self._note_common(event)
            return
        if isinstance(event, t.NodeDefined):
            self._nodes[name] = _NodeRecoveries(self._replay.nodes[name])
        node = self._nodes.get(name)
        if node is None:
            return  # master, clones and probe clients have wires too, and owe nothing
        self._settle(node, event.t_us)
        self._replay.take_in(event)
        match event:
            case t.NodeStopped(how=how) if how != "hang":
                self._excuse(node)
            case t.FaultInjected(kind=kind) if is_seen(kind, Seen.CLOSED, Seen.SILENCE):
                self._excuse(node)
                if is_momentary(kind):  # nothing to heal: from now on it is the node's turn
                    self._owe(node, kind, event)
            case t.FaultEnded(fault=fault) if not node.is_held_down:
                self._owe(node, self._faults.get(fault, ""), event)
        node.update(event.t_us)

    def _note_common(self, event: t.Event) -> None:
        match event:
            case t.BrokerStopped() | t.MasterStopped():
                for node in self._nodes.values():
                    self._settle(node, event.t_us)
                    self._excuse(node)
            case t.MasterStarted():
                self._replay.take_in(event)
                for node in self._nodes.values():
                    node.update(event.t_us)
            case t.FaultEnded(fault=fault):
                for node in self._nodes.values():
                    if node.now.link != "off" and not node.is_held_down:
                        self._owe(node, self._faults.get(fault, ""), event)

    def close(self, end_us: int) -> None:
        """Judge what is owed at the end of the run."""
        for node in self._nodes.values():
            self._settle(node, end_us + 1)
            for kind, ended in node.owed:
                if node.good_since_us is not None:
                    self._recovered(kind, ended, node.good_since_us)
                else:
                    self.asides[_AT_THE_END] += 1
            node.owed.clear()
        self.failures.sort(key=lambda event: event.t_us)

    def _owe(self, node: _NodeRecoveries, kind: str, ended: t.Event) -> None:
        if not self._kinds or kind in self._kinds:
            node.owed.append((kind, ended))

    def _excuse(self, node: _NodeRecoveries) -> None:
        self.asides["hit again meanwhile"] += len(node.owed)
        self.asides += Counter()  # forget zeros
        node.owed.clear()

    def _settle(self, node: _NodeRecoveries, now_us: int) -> None:
        """Judge what was due before `now_us`, by the state that lasted until then."""
        if not node.owed:
            return
        for kind, ended in node.owed:
            if ended.t_us + self._bound_us < now_us:
                if node.is_mute:
                    self.asides[_MUTE] += 1
                elif node.good_since_us is None:
                    self.failures.append(ended)
                else:
                    self._recovered(kind, ended, node.good_since_us)
        node.owed = [entry for entry in node.owed if entry[1].t_us + self._bound_us >= now_us]

    def _recovered(self, kind: str, ended: t.Event, good_since_us: int) -> None:
        self.samples.setdefault(kind, []).append(max(0, good_since_us - ended.t_us) / 1e6)


def _holds_down(kind: str) -> bool:
    return is_seen(kind, Seen.CLOSED, Seen.SILENCE) and not is_momentary(kind)
