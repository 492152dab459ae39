"""Check: whatever waits has its turn.

Three ways to starve, each with its rule. All look at tasks that wait at their askers (see `waiting`), while
the asker was connected for `within`.

1. *Passed over*: a task has waited for longer than `within`, and one of the same asker begins on a node where
   it could run, is no more urgent, and was asked for later.
2. *Crowded out*: an asker has had nothing begun for longer than `within` although it had work that could run
   on a node where somebody else's begins, which is no more urgent. The older work of somebody else may go
   first, but not all of it: several askers share a fleet.
3. *Idle hands*: a task waits while a node that could run it is connected and has had nothing to do for longer
   than `within`.

Not starving is a task that more urgent ones are always in front of: that is what priorities are for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from dcompute.parts import number_of
from dcompute_sim import trace as t
from dcompute_sim.checks.check import Check, CheckOutcome, failed, held, inconclusive, of_kinds
from dcompute_sim.checks.waiting import Askers
from dcompute_sim.yamlfile.units import Duration


class NoStarvation(Check):
    """No task of an executor waits for long while what came later is done, or while nodes have nothing to do.

    Passed over by its own asker's later work that is no more urgent; crowded out by another executor, so that
    none of an asker's work begins; or left although a node that could run it is idle: each for longer than
    `within`. A run in which nothing ever waited for a node is inconclusive.

    Limit: a task that has been sent to a node is that node's; what more urgent work leaves no room for is not
    starving.
    """

    name: ClassVar[str] = "no_starvation"
    occasion: ClassVar[str] = "more tasks than the fleet can take at a time"

    within: Duration = Field(default=30.0, description="How long is too long.")

    def judge(self, trace: Sequence[t.Event]) -> CheckOutcome:
        askers = Askers()
        within_us = round(self.within * 1e6)
        starved: dict[str, tuple[str, t.Event]] = {}
        begun_us: dict[str, int] = {}  # by asker, its newest
        waited: set[str] = set()
        for event in of_kinds(Askers.OF_INTEREST, trace):
            since_us = event.t_us - within_us
            match event:
                case t.ExecutionBegan(task=task, node=node) if task in askers.waiting:
                    asked = askers.asked[task]
                    begun_us[asked.asker] = event.t_us
                    for other in askers.unsent(node, above=asked.priority - 1):
                        since = askers.waiting[other.task].since_us
                        if max(since, askers.connected_us.get(other.asker, event.t_us)) > since_us:
                            continue
                        if other.asker == asked.asker:
                            how = "passed over" if other.t_us < asked.t_us else ""
                        else:
                            how = "crowded out" if begun_us.get(other.asker, 0) <= since_us else ""
                        if how:
                            starved.setdefault(other.task, (how, event))
                case t.TaskSent(task=task, node=node) if task in askers.waiting:
                    if not askers.waiting[task].at:
                        if event.t_us > askers.asked[task].t_us:
                            waited.add(task)
                        self._look_for_idle(askers, askers.asked[task], event, starved)
                case t.RunEnded():
                    for waiting in askers.waiting.values():
                        if not waiting.at:
                            self._look_for_idle(askers, waiting.asked, event, starved)
            askers.take_in(event)
        figures = {"asked": len(askers.asked), "waited": len(waited), "starved": len(starved)}
        if starved:
            ways: dict[str, int] = {}
            for how, _ in starved.values():
                ways[how] = ways.get(how, 0) + 1
            told = ", ".join(f"{count} {how}" for how, count in ways.items())
            offending = [e for task, (_, event) in starved.items() for e in (askers.asked[task], event)]
            return failed(f"{number_of(len(starved), 'task')} starved: {told}", offending, figures)
        if not waited:
            return inconclusive(
                f"none of {number_of(len(askers.asked), 'task')} ever waited for a node", figures
            )
        return held(
            f"{len(waited)} of {number_of(len(askers.asked), 'task')} waited for a node, each had its turn",
            figures,
        )

    def _look_for_idle(
        self,
        askers: Askers,
        asked: t.TaskAsked,
        event: t.Event,
        starved: dict[str, tuple[str, t.Event]],
    ) -> None:
        since_us = event.t_us - round(self.within * 1e6)
        waits_us = askers.waiting[asked.task].since_us
        if max(waits_us, askers.connected_us.get(asked.asker, event.t_us)) > since_us:
            return
        for node, idle_us in askers.idle_us.items():
            if idle_us <= since_us and askers.could_run(asked, node):
                starved.setdefault(asked.task, ("left while nodes were idle", event))
                return
