"""Check: the dead-nodes callback names each death once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from sim.checks.base import Check, Outcome, failed, held, inconclusive
from sim.trace import DeathReported, Event, MasterStarted


class CallbackOnce(Check):
    """The dead-nodes callback fires once per node and incarnation, in each life of the master.

    Limit: a node without incarnations (an older one) is not judged, for its deaths cannot be told apart.
    """

    name: ClassVar[str] = "callback_once"

    def judge(self, trace: Sequence[Event]) -> Outcome:
        seen: set[tuple[str, str]] = set()
        repeats: list[Event] = []
        reports = 0
        for event in trace:
            match event:
                case MasterStarted():
                    seen.clear()  # a new master may name the dead it finds: its callback has not yet
                case DeathReported(node=node, inc=inc) if inc:
                    reports += 1
                    if (node, inc) in seen:
                        repeats.append(event)
                    seen.add((node, inc))
        if not reports:
            return inconclusive("no death was reported, so none could be reported twice")
        figures = {"reports": reports, "repeats": len(repeats)}
        if repeats:
            return failed(f"{len(repeats)} of {reports} reports named a death again", repeats, figures)
        return held(f"{reports} deaths, each reported once", figures)
