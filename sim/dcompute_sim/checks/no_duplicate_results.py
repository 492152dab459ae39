"""Check: the master reports each result once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import ClassVar

from dcompute.parts import noun, number_of
from dcompute_sim.checks.check import Check, CheckOutcome, failed, held, inconclusive
from dcompute_sim.checks.tasks import tasks, unnamed
from dcompute_sim.trace import Event, ExecutorStarted, MasterStarted, ResultReceived, TaskSent


class NoDuplicateResults(Check):
    """No task has two results at the master, however often it was sent, run or redelivered.

    Undecided beside results that name no task: they may be anything's.

    Limit: repeats that the master recognised are counted, not condemned; they are what QoS 1 brings. A new
    master (after a crash) knows nothing of the results its predecessor gave out; and of a task that only its
    predecessor sent, each node may bring it one, for it cannot know whose is genuine. An executor that has
    kept its journal knows its own.
    """

    name: ClassVar[str] = "no_duplicate_results"
    occasion: ClassVar[str] = "results: a stream under `workload:`"

    def judge(self, trace: Sequence[Event]) -> CheckOutcome:
        with_result = [task for name, task in tasks(trace).items() if name and task.results]
        repeated = _repeated(trace)
        figures = {
            "results": len(with_result),
            "repeated": len(repeated),
            "recognised": sum(len(task.duplicates) for task in with_result),
        }
        if not repeated and (nameless := unnamed(trace)):
            return inconclusive(
                f"{number_of(len(with_result), 'result')} of known tasks, each once; {nameless}", figures
            )
        if not with_result:
            return inconclusive("no result came", figures)
        if repeated:
            return failed(
                f"{number_of(len(repeated), 'result')} {noun(len(repeated), 'was', 'were')} reported again",
                repeated,
                figures,
            )
        return held(
            f"{number_of(len(with_result), 'result')}, "
            f"{number_of(figures['recognised'], 'repeat')} recognised",
            figures,
        )


def _repeated(trace: Sequence[Event]) -> list[Event]:
    """List results that one and the same asker reported again: a master, or an executor over all lives of its
    journal."""
    seen: defaultdict[tuple[str, str], set[str]] = defaultdict(set)  # by asker and task: of which nodes
    sent: set[tuple[str, str]] = set()
    repeated: list[Event] = []
    for event in trace:
        match event:
            case MasterStarted():
                _forget("", seen, sent)
            case ExecutorStarted(asker=asker, journal=journal) if journal != "kept":
                _forget(asker, seen, sent)
            case TaskSent(asker=asker, task=task):
                sent.add((asker, task))
            case ResultReceived(asker=asker, task=task, node=node) if task:
                work = (asker, task)
                if node in seen[work] or (seen[work] and work in sent):
                    repeated.append(event)
                seen[work].add(node)
    return repeated


def _forget(asker: str, seen: dict[tuple[str, str], set[str]], sent: set[tuple[str, str]]) -> None:
    for work in [work for work in seen if work[0] == asker]:
        del seen[work]
    sent -= {work for work in sent if work[0] == asker}
