"""Check: the dead-nodes callback names each death once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

from dcompute.node_core import DEAD, OFFLINE
from dcompute.parts import number_of
from dcompute_sim.checks.check import Check, CheckOutcome, failed, held, inconclusive, of_kinds
from dcompute_sim.trace import DeathReported, Event, MasterStarted, NodeStatusSeen

_OF_DEATHS = frozenset({DeathReported, MasterStarted, NodeStatusSeen})


class CallbackOnce(Check):
    """The dead-nodes callback fires once for each death, in each life of the master.

    An incarnation dies once, unless the master has heard it speak in between: a node that was declared dead
    for its silence and speaks again is alive again, and its next death is news. Limit: whether there was a
    death at all is judged by no_false_deaths.
    """

    name: ClassVar[str] = "callback_once"
    occasion: ClassVar[str] = "a death: a fault such as `{kind: crash, at: 30s}`"

    def judge(self, trace: Sequence[Event]) -> CheckOutcome:
        deaths = _Deaths()
        named: Counter[tuple[str, str]] = Counter()
        repeats: list[Event] = []
        reports = 0
        for event in of_kinds(_OF_DEATHS, trace):
            match event:
                case NodeStatusSeen():  # by far the most
                    deaths.see(event)
                case MasterStarted():  # a new master may name the dead it finds: its callback has not yet
                    named.clear()
                    deaths = _Deaths()
                case DeathReported(node=node, inc=inc):
                    reports += 1
                    named[node, inc] += 1
                    if named[node, inc] > max(1, deaths.of[node, inc]):
                        repeats.append(event)
        if not reports:
            return inconclusive("no death was reported, so none could be reported twice")
        figures = {"reports": reports, "repeats": len(repeats)}
        if repeats:
            return failed(
                f"{len(repeats)} of {number_of(reports, 'report')} named a death again", repeats, figures
            )
        return held(f"{number_of(reports, 'death')}, each reported once", figures)


class _Deaths:
    """How often the master saw each incarnation go from life to death."""

    def __init__(self) -> None:
        self.of: Counter[tuple[str, str]] = Counter()
        self._alive: dict[str, str | None] = {}  # the incarnation seen alive; None: the node is dead

    def see(self, seen: NodeStatusSeen) -> None:
        if seen.status not in (DEAD, OFFLINE):
            self._alive[seen.node] = seen.inc
            return
        if self._alive.get(seen.node, seen.inc) == seen.inc:
            self.of[seen.node, seen.inc] += 1
        self._alive[seen.node] = None
