"""Check: over the whole fleet the most urgent work comes first.

Of one node `priority_order` says whether it took its most urgent task. Here it is what no node can know: a
task begins somewhere, and a more urgent one that could run there still waits at its asker. `within` is what
messages take; a longer wait means that the windows of the nodes were full of what is less urgent.

Judged is the wait at the asker only. What has been sent is in its node's hands: it begins as soon as what is
at work there has ended, and another node must not have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from dcompute.parts import number_of
from dcompute_sim import trace as t
from dcompute_sim.checks.check import Check, CheckOutcome, Measurement, failed, held, inconclusive, of_kinds
from dcompute_sim.checks.waiting import Askers
from dcompute_sim.yamlfile.units import Duration


class FleetPriority(Check):
    """No task of an executor begins on a node while a more urgent one that may run there waits at its asker.

    A wait counts from `within` after it was asked for, while its asker is connected, and the node has been,
    and could be reached, for as long. A run in which no task had a less urgent one to overtake is
    inconclusive.

    Limit: of each task the first sending is judged, not what had to be sent again.
    """

    name: ClassVar[str] = "fleet_priority"
    occasion: ClassVar[str] = (
        "an urgent task asked for while others wait: more tasks than the fleet can take, of several "
        "priorities"
    )

    within: Duration = Field(default=0.5, description="How long a message may take.")

    def judge(self, trace: Sequence[t.Event]) -> CheckOutcome:
        askers = Askers()
        within_us = round(self.within * 1e6)
        begun = urgent = 0
        waits: list[float] = []
        overtaken: set[str] = set()
        offending: list[t.Event] = []
        for event in of_kinds(Askers.OF_INTEREST, trace):
            match event:
                case t.TaskAsked(priority=priority, asker=asker) if asker:
                    urgent += any(count and level < priority for level, count in askers.levels.items())
                case t.ExecutionBegan(task=task, node=node) if task in askers.waiting:
                    begun += 1
                    asked = askers.asked[task]
                    waits.append((event.t_us - asked.t_us) / 1e6)
                    since_us = event.t_us - within_us
                    if askers.node_connected_us.get(node, event.t_us) <= since_us:
                        for other in askers.unsent(node, above=asked.priority):
                            up_us = askers.connected_us.get(other.asker, event.t_us)
                            if (
                                max(askers.waiting[other.task].since_us, up_us) <= since_us
                                and other.task not in overtaken
                            ):
                                overtaken.add(other.task)
                                offending += [other, event]
            askers.take_in(event)
        figures = {"begun": begun, "had_some_to_overtake": urgent, "overtaken": len(overtaken)}
        measured = [Measurement("asked for to begun", "s", tuple(waits))]
        if overtaken:
            told = f"{number_of(len(overtaken), 'task')} waited at their askers while less urgent ones began"
            return failed(told, offending, figures, measured)
        if not urgent:
            return inconclusive(
                f"none of {number_of(begun, 'task')} had a less urgent one to overtake", figures, measured
            )
        return held(
            f"{number_of(begun, 'task')} begun, {urgent} of them asked for while less urgent ones waited",
            figures,
            measured,
        )
