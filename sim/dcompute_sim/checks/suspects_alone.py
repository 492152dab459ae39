"""Check: what may be killing nodes takes nothing else with it.

A task at whose execution two nodes have died is a suspect (`deaths`). From then on it must have a node for
itself: else what dies beside it is lost with it, is suspected too, and has to be done again.

Judged by the ledgers of the nodes and by what was sent: not by whom an executor suspects.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from dcompute.parts import number_of
from dcompute_sim import trace as t
from dcompute_sim.checks.breaches import Breaches
from dcompute_sim.checks.check import Check, CheckOutcome, held, inconclusive, of_kinds

_OF_INTEREST = frozenset(
    {
        t.TaskAsked,
        t.TaskSent,
        t.TaskSettled,
        t.TaskFinished,
        t.TaskWithdrawn,
        t.ExecutionBegan,
        t.NodeStopped,
    }
)


class SuspectsAlone(Check):
    """A task at which two nodes have died is alone, of its executor's, on the node that has it next.

    Limit: programs that are not ours keep no ledger of what they died at.
    """

    name: ClassVar[str] = "suspects_alone"
    occasion: ClassVar[str] = "a task that kills two nodes: a `crash` with `when: {event: execution_began}`"

    deaths: int = Field(default=2, ge=0, description="From so many deaths on it is a suspect.")

    def judge(self, trace: Sequence[t.Event]) -> CheckOutcome:
        breaches = Breaches()
        deaths: Counter[str] = Counter()  # of nodes, by the task that was at work there
        at_work: dict[str, set[str]] = {}
        asker_of: dict[str, str] = {}
        there: dict[str, dict[str, None]] = {}  # by node, what was sent and is not over
        sendings = 0
        for event in of_kinds(_OF_INTEREST, trace):
            match event:
                case t.TaskAsked(task=task, asker=asker) if asker:
                    asker_of[task] = asker
                case t.ExecutionBegan(node=node, task=task):
                    at_work.setdefault(node, set()).add(task)
                case t.TaskFinished(node=node, task=task) | t.TaskWithdrawn(node=node, task=task):
                    at_work.get(node, set()).discard(task)
                    there.get(node, {}).pop(task, None)
                case t.NodeStopped(node=node, how=how) if how != "hang":
                    deaths.update(at_work.pop(node, set()))
                    there.pop(node, None)
                case t.TaskSettled(task=task):
                    for tasks in there.values():
                        tasks.pop(task, None)
                case t.TaskSent(node=node, task=task) if task in asker_of:
                    tasks = there.setdefault(node, {})
                    if task not in tasks:
                        sendings += deaths[task] >= self.deaths
                        for other in tasks:
                            same = asker_of[task] == asker_of[other]
                            if same and max(deaths[task], deaths[other]) >= self.deaths:
                                breaches.add("not alone", event)
                                break
                    tasks[task] = None
        figures: dict[str, float | int | str] = {"suspects_sent": sendings}
        if breaches:
            return breaches.outcome("tasks at which nodes had died were ", figures)
        if not sendings:
            return inconclusive(
                f"no task at which {number_of(self.deaths, 'node')} had died was sent to another one", figures
            )
        return held(
            f"a task at which nodes had died was sent {number_of(sendings, 'time')}, each time alone", figures
        )
