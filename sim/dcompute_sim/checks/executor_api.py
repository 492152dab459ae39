"""Check: what an executor's public API says of the fleet and of its work is so.

Judged by what was said on the wire and by what was asked and told, not by what executors observe:

1. Its callback for deaths names a node that has gone, by its will or its own word, within `within`. Excused
   is what an executor cannot have heard: it was not connected, or not for long, or the node was back by then,
   or had said nothing over the connection that ended.
2. It names each once, until the node has said that it is back, or another connection of it is said to be
   gone.
3. At the end `nodes()` is who is connected, as far as nobody came or went just now.
4. Who asks anew for what is over, under the same key, has the same end and the same result.
5. `counters()` are what was asked of it, and what it has told. Of an executor that was started again only
   what is still open can be counted: what it took up from its journal is new to it.
6. What a program is told of the progress of a task is what a handler has said of it, in figures and words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from pydantic import Field

from dcompute_sim import trace as t
from dcompute_sim.checks.check import Check, CheckOutcome
from dcompute_sim.checks.history import ANNOUNCED, LIFELESS
from dcompute_sim.checks.ledger import Ledger
from dcompute_sim.yamlfile.units import Duration

_WITHOUT_RESULT = ("result", "cancelled")


class ExecutorApi(Check):
    """An executor's public API tells a program the truth: deaths by its callback, nodes, counters.

    Each node that goes is named within `within` by the callback, once until it is back. At the end `nodes()`
    is who is connected, and `counters()` are what was asked for and what was told. What a program that keeps
    no notes (`notes: false`) asks for anew has the end that it had. What is told of progress a handler said.

    Limit: deaths of which an executor cannot have heard (it was not connected, or only just, or the node was
    back in that time) are not owed.
    """

    name: ClassVar[str] = "executor_api"
    occasion: ClassVar[str] = (
        "an executor (a stream under `workload:`) that is connected when a node goes, or at the end"
    )

    within: Duration = Field(default=5.0, description="How much later a death may be told.")

    def judge(self, trace: Sequence[t.Event]) -> CheckOutcome:
        ledger = _ExecutorLedger(round(self.within * 1e6)).read(trace)
        return ledger.outcome(
            f"true in all it said: {ledger.told()}",
            broken="the API is wrong: ",
            untested="no executor was connected when a node went, or at the end",
        )


@dataclass(slots=True)
class _Asker:
    connected_us: int | None = None
    boots: int = 0
    asked: int = 0
    settled: Counter[str] = field(default_factory=Counter)
    owed: dict[str, t.SaidGone] = field(default_factory=dict)  # node -> its going, which was not named yet
    named: set[str] = field(default_factory=set)  # nodes, until they are back


class _ExecutorLedger(Ledger):
    def __init__(self, within_us: int) -> None:
        super().__init__("deaths", "answers about nodes", "counts", "ends told again", "reports of progress")
        self._progress: set[tuple[str, int, str]] = set()  # tasks, percent and words, as handlers said it
        self._ends: dict[str, tuple[str, str]] = {}  # tasks -> outcome, digest of the result
        self._results: dict[str, str] = {}
        self._double_of: dict[str, str] = {}  # clones -> whose id they have
        self._within_us = within_us
        self._askers: dict[str, _Asker] = {}
        self._connected: dict[str, bool] = {}  # nodes, as the wire has it
        self._changed_us: dict[str, int] = {}  # nodes -> when that was so last
        self._answers: list[t.ExecutorAnswered] = []
        self._deaths_said: set[tuple[str, str]] = set()  # nodes and incarnations
        self.take_in = {
            t.ExecutorStarted: self._started,
            t.ExecutorStopped: self._lost,
            t.ExecutorConnected: self._asker_connected,
            t.ExecutorDisconnected: self._lost,
            t.TaskAsked: self._asked,
            t.TaskSettled: self._settled,
            t.ResultTaken: self._result,
            t.ToldAgain: self._again,
            t.ProgressSaid: lambda said: self._progress.add((said.task, said.percent, said.text)),
            t.TaskProgressed: self._progressed,
            t.SaidGone: self._gone,
            t.SaidBack: self._back,
            t.NodeStatusSeen: self._seen,
            t.NodeConnecting: self._connecting,
            t.ParticipantDefined: self._participant,
            t.ExecutorDeaths: self._deaths,
            t.ExecutorAnswered: self._answers.append,
            t.FinalNode: self._final,
        }
        self._final_nodes: dict[str, t.FinalNode] = {}

    def close(self, end_us: int) -> None:
        self._overdue(end_us)
        for answer in self._answers:
            self._judge_answer(answer)

    # --- executors --------------------------------------------------------------------------------------

    def _started(self, event: t.ExecutorStarted) -> None:
        before = self._askers.get(event.asker, _Asker())
        self._askers[event.asker] = _Asker(boots=event.boot, asked=before.asked, settled=before.settled)

    def _asker_connected(self, event: t.ExecutorConnected) -> None:
        self._askers[event.asker].connected_us = event.t_us

    def _lost(self, event: t.ExecutorStopped | t.ExecutorDisconnected) -> None:
        self._overdue(event.t_us)
        asker = self._askers[event.asker]
        asker.connected_us = None
        asker.owed.clear()

    def _asked(self, event: t.TaskAsked) -> None:
        if event.asker in self._askers:
            self._askers[event.asker].asked += 1

    def _settled(self, event: t.TaskSettled) -> None:
        if event.asker in self._askers:
            self._askers[event.asker].settled[event.outcome] += 1
            self._ends[event.task] = (event.outcome, self._results.pop(event.task, ""))

    def _result(self, event: t.ResultTaken) -> None:
        if event.ok and event.asker in self._askers:
            self._results[event.task] = event.value

    def _again(self, event: t.ToldAgain) -> None:
        self.judged["ends told again"] += 1
        if self._ends.get(event.task) != (event.outcome, event.value):
            self.breaches.add("another end than it had", event)

    def _progressed(self, event: t.TaskProgressed) -> None:
        self.judged["reports of progress"] += 1
        if (event.task, event.percent, event.text) not in self._progress:
            self.breaches.add("progress that no handler has told", event)

    def _deaths(self, event: t.ExecutorDeaths) -> None:
        self._overdue(event.t_us)
        asker = self._askers[event.asker]
        for node in event.nodes:
            if node in asker.named:
                self.breaches.add("a death that was named already", event)
            asker.named.add(node)
            self.judged["deaths"] += 1
            asker.owed.pop(node, None)

    # --- nodes ------------------------------------------------------------------------------------------

    def _gone(self, event: t.SaidGone) -> None:
        if (event.node, event.inc) not in self._deaths_said:  # perhaps of one that was announced, and no more
            self._deaths_said.add((event.node, event.inc))
            for asker in self._askers.values():
                asker.named.discard(event.node)
        if event.who != event.node:  # somebody else's word: whether that is so is for others to judge
            return
        self._overdue(event.t_us)
        known_us = self._changed_us.get(event.node)
        was_there = self._connected.get(event.node, False)
        self._connected[event.node] = False
        self._changed_us[event.node] = event.t_us
        if known_us is None or not was_there:
            return
        for asker in self._askers.values():
            since_us = asker.connected_us
            if since_us is not None and max(since_us, known_us) + self._within_us <= event.t_us:
                asker.owed.setdefault(event.node, event)

    def _back(self, event: t.SaidBack) -> None:
        self._is_there(
            event.node, event.t_us
        )  # whoever said so, a clone or somebody who forges it: it is news

    def _seen(self, event: t.NodeStatusSeen) -> None:
        """Take a node for connected that the master has heard, as the broker has; what a node publishes may
        never arrive."""
        if event.status in (ANNOUNCED, *LIFELESS):
            return
        for asker in self._askers.values():  # where nobody listens at the broker this is all that says so
            asker.named.discard(event.node)
        if not self._connected.get(event.node, False):
            self._is_there(event.node, event.t_us)

    def _participant(self, event: t.ParticipantDefined) -> None:
        if event.role is t.Role.CLONE:
            self._double_of[event.name] = event.node

    def _connecting(self, event: t.NodeConnecting) -> None:
        for asker in self._askers.values():
            asker.named.discard(self._double_of.get(event.node, event.node))

    def _is_there(self, node: str, now_us: int) -> None:
        self._overdue(now_us)
        self._connected[node] = True
        self._changed_us[node] = now_us
        for asker in self._askers.values():
            asker.owed.pop(node, None)
            asker.named.discard(node)

    def _overdue(self, now_us: int) -> None:
        for asker in self._askers.values():
            for node, gone in list(asker.owed.items()):
                if gone.t_us + self._within_us < now_us:
                    self.breaches.add("a death that the callback did not name", gone)
                    del asker.owed[node]

    # --- the end ----------------------------------------------------------------------------------------

    def _final(self, event: t.FinalNode) -> None:
        self._final_nodes[event.node] = event

    def _judge_answer(self, event: t.ExecutorAnswered) -> None:
        asker = self._askers[event.asker]
        settled_by_us = event.t_us - self._within_us
        if asker.connected_us is not None and asker.connected_us <= settled_by_us:
            listed = set(event.nodes)
            for name, node in self._final_nodes.items():
                if self._changed_us.get(name, event.t_us) > settled_by_us:
                    continue
                self.judged["answers about nodes"] += 1
                if node.connected is not (name in listed):
                    self.breaches.add("`nodes()` is not who is connected", event)
        said = event.values
        told = asker.settled.total()
        wanted = {"nodes": len(event.nodes), "open": asker.asked - told}
        has = {"nodes": said["nodes"], "open": said["waiting"] + said["at_nodes"]}
        if asker.boots == 1:
            failed = sum(n for outcome, n in asker.settled.items() if outcome not in _WITHOUT_RESULT)
            wanted |= {"submitted": asker.asked, "done": told, "failed": failed}
            has |= {key: said[key] for key in ("submitted", "done", "failed")}
        self.judged["counts"] += len(wanted)
        if has != wanted:
            self.breaches.add("`counters()`", event)
