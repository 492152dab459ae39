"""Check: a task's result is the right one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

from dcompute.parts import noun, number_of
from dcompute_sim.checks.check import Check, CheckOutcome, excused, failed, held, inconclusive
from dcompute_sim.checks.ledger import Ledger
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


class ResultsMatch(Check):
    """Every result that the master's program got answers its task, from a node that was given the task.

    What the answer is, the scenario knows before anybody is asked; nothing is derived from what a node sent.
    A task may fail where the scenario says so: on python nodes with a `fail_rate`, or when it asks for what
    must fail; an executor says then what its program raised, and its traceback ends so. A result says which
    attempt it answers, and that one was sent to its node (an executor looks after that itself). The answers
    of somebody else's program are known only if the stream declares its `answer`; of others it is only judged
    that the result names a task which that node was given. Whoever has not asked for a task takes each result
    of it that somebody else published, or of one that somebody else sent.

    Limit: what a result says beside its answer is not looked at, but for why it failed.
    """

    name: ClassVar[str] = "results_match"
    occasion: ClassVar[str] = (
        "tasks whose answer the scenario knows: a `function`, or `answer:` in the stream"
    )

    def judge(self, trace: Sequence[Event]) -> CheckOutcome:
        ledger = _AnswerLedger(Participants(trace)).read(trace)
        taken, compared, meant, wrong = ledger.taken, ledger.compared, ledger.meant, ledger.wrong
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


class _AnswerLedger(Ledger):
    """What was asked for, and whom: what the results taken are held against."""

    def __init__(self, who: Participants) -> None:
        super().__init__()
        self.taken = self.compared = self.meant = 0
        self.wrong: list[Event] = []
        self._who = who
        self._asked: dict[str, TaskAsked] = {}
        self._given_to: dict[str, set[tuple[str, int]]] = {}  # task -> (node, attempt)
        self._foreign: set[str] = set()
        self._raised: dict[tuple[str, str], str] = {}  # (node, task) -> why it failed, if that is known
        self._meant_to_fail: set[tuple[str, str]] = set()
        self._outside: Counter[tuple[str, str]] = Counter()  # results of others' tasks that may come
        self.take_in = {
            NodeDefined: self._node,
            ResultFromOutside: self._from_outside,
            ResultTaken: self._taken,
            TaskAsked: self._task_asked,
            TaskFinished: self._finished,
            TaskFromOutside: self._from_outside,
            TaskSent: self._sent,
        }

    def _node(self, event: NodeDefined) -> None:
        if event.foreign:
            self._foreign.add(event.node)

    def _task_asked(self, event: TaskAsked) -> None:
        self._asked[event.task] = event

    def _sent(self, event: TaskSent) -> None:
        self._given_to.setdefault(event.task, set()).add((event.node, event.attempt))

    def _finished(self, event: TaskFinished) -> None:
        if not event.ok:
            key = self._who.owner(event.node), event.task
            self._raised[key] = event.why
            if event.meant:
                self._meant_to_fail.add(key)

    def _from_outside(self, event: ResultFromOutside | TaskFromOutside) -> None:
        self._outside[event.node, event.task] += 1

    def _taken(self, event: ResultTaken) -> None:
        node, task, known = event.node, event.task, self._asked.get(event.task)
        if self._outside[node, task] and (known is None or known.asker != event.asker):
            self._outside[node, task] -= 1
            return
        self.taken += 1
        is_foreign = node in self._foreign
        if not task and is_foreign:
            return  # a program that names no task: nothing can be known of it
        tries = [attempt for other, attempt in self._given_to.get(task, ()) if other == node]
        if known is not None and known.asker and not event.asker and not tries:
            return  # that is its executor's business: whoever did not ask for it cannot tell
        knows_attempt = bool(event.asker) or is_foreign or event.attempt in tries
        if known is None or not tries or not knows_attempt:
            self.wrong.append(event)
        elif known.declared or not is_foreign:
            self._compare(event, known)

    def _compare(self, event: ResultTaken, known: TaskAsked) -> None:
        self.compared += 1
        raised = self._raised.get((event.node, event.task), "")
        if not event.ok and event.asker and raised and not event.why == event.traced == raised:
            self.wrong.append(event)
        elif known.answer in (event.answer, event.value):
            return
        elif not event.ok and (event.node, event.task) in self._meant_to_fail:
            self.meant += 1
        else:
            self.wrong.append(event)
