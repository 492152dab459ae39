"""Check: a task's result is the right one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

from dcompute.parts import noun, number_of
from dcompute_sim.checks.check import Check, CheckOutcome, excused, failed, held, inconclusive, of_kinds
from dcompute_sim.checks.tasks import unnamed
from dcompute_sim.trace import (
    Event,
    NodeDefined,
    Participants,
    ResultFromOutside,
    ResultTaken,
    TaskAsked,
    TaskFinished,
    TaskFromOutside,
    TaskSent,
)

_OF_RESULTS = frozenset(
    {NodeDefined, ResultFromOutside, ResultTaken, TaskAsked, TaskFinished, TaskFromOutside, TaskSent}
)


class ResultsMatch(Check):
    """Every result that the master's program got answers its task, from a node that was given the task.

    What the answer is, the scenario knows before anybody is asked; nothing is derived from what a node sent.
    A task may fail where the scenario says so: on python nodes with a `fail_rate`, or when it asks for what
    must fail; an executor says then what its program raised. A result says which attempt it answers, and that
    one was sent to its node
    (an executor looks after that itself). The answers of
    somebody else's program are known only if the stream declares its `answer`; of others it is only judged
    that the result names a task which that node was given. Whoever has not asked for a task takes each
    result of it that somebody else published, or of one that somebody else sent.

    Limit: what a result says beside its answer is not looked at, but for why it failed.
    """

    name: ClassVar[str] = "results_match"
    occasion: ClassVar[str] = (
        "tasks whose answer the scenario knows: a `function`, or `answer:` in the stream"
    )

    def judge(self, trace: Sequence[Event]) -> CheckOutcome:
        who = Participants(trace)
        asked: dict[str, TaskAsked] = {}
        given_to: dict[str, set[tuple[str, int]]] = {}
        foreign: set[str] = set()
        meant_to_fail: dict[tuple[str, str], str] = {}  # (node, task) -> why, if that is known
        outside: Counter[tuple[str, str]] = Counter()  # results of others' tasks that may come
        wrong: list[Event] = []
        taken = compared = meant = 0
        for event in of_kinds(_OF_RESULTS, trace):
            match event:
                case NodeDefined(node=node, foreign=True):
                    foreign.add(node)
                case TaskAsked(task=task):
                    asked[task] = event
                case TaskSent(node=node, task=task, attempt=attempt):
                    given_to.setdefault(task, set()).add((node, attempt))
                case TaskFinished(node=node, task=task, ok=False, meant=True, why=why):
                    meant_to_fail[who.owner(node), task] = why
                case ResultFromOutside(node=node, task=task) | TaskFromOutside(node=node, task=task):
                    outside[node, task] += 1
                case ResultTaken(node=node, task=task, asker=asker) if outside[node, task] and (
                    task not in asked or asked[task].asker != asker
                ):
                    outside[node, task] -= 1
                case ResultTaken(node=node, task=task):
                    taken += 1
                    known = asked.get(task)
                    if not task and node in foreign:
                        continue  # a program that names no task: nothing can be known of it
                    tries = [attempt for other, attempt in given_to.get(task, ()) if other == node]
                    if known is not None and known.asker and not event.asker and not tries:
                        continue  # that is its executor's business: whoever did not ask for it cannot tell
                    if (
                        known is None
                        or not tries
                        or (not event.asker and node not in foreign and event.attempt not in tries)
                    ):
                        wrong.append(event)
                    elif node in foreign and not known.declared:
                        continue
                    else:
                        compared += 1
                        raised = meant_to_fail.get((node, task))
                        may_fail = not event.ok and raised is not None
                        if event.asker and raised not in ("", event.why):
                            may_fail = False
                        if known.answer not in (event.answer, event.value):
                            meant += may_fail
                            if not may_fail:
                                wrong.append(event)
        figures = {"taken": taken, "compared": compared, "wrong": len(wrong), "meant_to_fail": meant}
        excuse = excused({"meant to fail": meant} if meant else {}, compared - meant)
        if wrong:
            return failed(
                f"{len(wrong)} of {number_of(taken, 'result')} "
                f"{noun(len(wrong), 'does not answer its', 'do not answer their')} task{excuse}",
                wrong,
                figures,
            )
        if nameless := unnamed(trace):
            return inconclusive(f"{compared} of {number_of(taken, 'result')} compared; {nameless}", figures)
        if not compared:
            told = f"of none of {number_of(taken, 'result')} it is known what they should say"
            return inconclusive(told + (": declare `answer` in the stream" if taken else ""), figures)
        return held(
            f"{compared} of {number_of(taken, 'result')} compared, each answers its task{excuse}", figures
        )
