"""A program that has work done by an executor, and is started again when it dies, as a script is.

What it wants done it keeps beyond its own death, as a script has its input: started again, it submits
whatever it has had no end of, under the same keys. With its journal kept these are the same tasks, and those
that are done are not done again. Without, nobody can tell what became of them: they are forgotten, and asked
for anew, as other tasks of an asker with another name; those that must not run twice are not.

The journal is the product's own, in memory: a crash of the testbed's process is none of the machine's. It is
opened when it is read (`late_journal`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

from dcompute.errors import Backlogged, JournalError
from dcompute.events import ExecutorEvent, ResultReceived
from dcompute.executor import (
    Expired,
    FleetExecutor,
    FleetFuture,
    NodeLost,
    OutcomeUnknown,
    Quarantined,
    Refused,
    TaskError,
    TaskFailed,
)
from dcompute.executor.model import Outcome
from dcompute_sim import trace as t
from dcompute_sim.answers import asked_digest, given
from dcompute_sim.director.late_journal import LateJournal
from dcompute_sim.director.node_ids import NodeIds
from dcompute_sim.interfaces.suspendable import SuspendableDriver
from dcompute_sim.interfaces.world import Machine
from dcompute_sim.mutants.classes import core_class
from dcompute_sim.production_events import value_digest
from dcompute_sim.recorder import Recorder
from dcompute_sim.scenario import AskerSettings, TaskStream

_OUTCOMES: dict[type[TaskError], Outcome] = {
    TaskFailed: Outcome.FAILED,
    NodeLost: Outcome.NODE_LOST,
    OutcomeUnknown: Outcome.UNKNOWN,
    Quarantined: Outcome.QUARANTINED,
    Expired: Outcome.EXPIRED,
    Refused: Outcome.REFUSED,
}
_AGAIN_S = 1.0
FORGOTTEN = "forgotten"
"""The outcome of a task whose journal is lost, beside those of dcompute.executor.model.Outcome."""


@dataclass(slots=True)
class _Wanted:
    """A task whose end the program has not seen. `body`: what the node's handler gets."""

    id: str
    body: dict[str, object]
    priority: int
    where: dict[str, object]
    stream: TaskStream
    on_over: Callable[[], None] | None
    node: str
    group: str
    cancel_at_us: int | None
    cancelled: bool = False  # it has said so


def _cancel(future: FleetFuture, wanted: _Wanted) -> None:
    wanted.cancelled = True
    future.cancel()


def _last_line(traceback: str) -> str:
    """Return what a traceback ends with: what was raised, as `why` has it."""
    return traceback.rstrip().rpartition("\n")[2]


class ExecutorProgram:
    """One program with an executor.

    Args:
        name: of the program, in the trace.
        group_of: every node's group.
        ids: of the nodes, on the wire.
        namespace: of the run.
        mutants: names of those that it has.
        told_progress: whether some nodes say how far their work is.
    """

    def __init__(
        self,
        name: str,
        settings: AskerSettings,
        recorder: Recorder,
        group_of: Mapping[str, str],
        ids: NodeIds,
        namespace: str,
        mutants: tuple[str, ...],
        *,
        told_progress: bool,
    ) -> None:
        self._name = name
        self._settings = settings
        self._recorder = recorder
        self._observe = recorder.executor_observer(name)
        self._group_of = group_of
        self._ids = ids
        self._namespace = namespace
        self._core_class = core_class(mutants)
        self._told_progress = told_progress
        self._executor: FleetExecutor | None = None
        self._driver: SuspendableDriver | None = None
        self._journal: LateJournal | None = None
        self._wanted: dict[str, _Wanted] = {}
        self._done: dict[str, _Wanted] = {}  # what is over, for a program that keeps no notes
        self._refused: Callable[[], None] | None = None
        self._told_by: dict[str, str] = {}  # task -> the node whose answer ended it
        self._boots = 0

    @property
    def connected(self) -> bool:
        """It runs and has a broker."""
        return self._executor is not None and self._executor.is_connected()

    @property
    def asker(self) -> str:
        """The name (`from`) under which it asks; "" while it does not run."""
        return "" if self._executor is None else self._executor.name

    def start(self, machine: Machine, driver: SuspendableDriver) -> None:
        """Start the program, with what it had not seen the end of."""
        self._boots += 1
        self._driver = driver
        journal = "none"
        if self._settings.journal:
            journal = "kept" if self._journal is not None else "new" if self._boots == 1 else "lost"
            self._journal = self._journal or LateJournal()
            self._journal.refused = self._refused
        self._recorder.add(
            t.ExecutorStarted,
            asker=self._name,
            boot=self._boots,
            journal=journal,
            resend_s=self._settings.resend,
            max_pending=self._settings.max_pending or 0,
            tell_us=round(1e6 * (self._settings.tell or 0)),
        )
        before = list(self._wanted.values())
        host, port = machine.address
        self._executor = FleetExecutor(
            host,
            port,
            journal=self._journal,
            probe_s=self._settings.probe,
            settle_s=self._settings.settle,
            resend_s=self._settings.resend,
            losses=self._settings.losses,
            tell_s=self._settings.tell or 0.0,
            max_pending=self._settings.max_pending,
            username=machine.login.username,
            password=machine.login.password,
            tls=machine.login.tls,
            keepalive=max(1, round(self._settings.keepalive)),
            namespace=self._namespace,
            driver=driver,
            observer=self._tell,
            core_class=self._core_class,
        )
        self._executor.set_dead_nodes_callback(self._called_back)
        if journal == "kept":
            for wanted in self._done.values():
                self._submit(self._executor, wanted)
        else:
            self._done.clear()
        for wanted in before:
            if journal == "kept":
                self._submit(self._executor, wanted)
            elif self._boots > 1:
                self._ask_anew(wanted)

    def _called_back(self, nodes: list[str]) -> None:
        self._recorder.add(t.ExecutorDeaths, asker=self._name, nodes=list(map(self._ids.name_of, nodes)))

    def finish(self) -> None:
        """Ask for all there is to know: the run is about to end."""
        if self._executor is not None:
            nodes = sorted(map(self._ids.name_of, self._executor.nodes()))
            values, error = self._executor.counters(), self._executor.last_error
            self._recorder.add(t.ExecutorAnswered, asker=self._name, nodes=nodes, values=values, error=error)

    def crashed(self, *, lose_journal: bool) -> None:
        """Take its process for dead."""
        if self._executor is None:
            return
        self._executor = None
        if lose_journal:
            self._journal = None
        self._recorder.add(t.ExecutorStopped, asker=self._name, how="crash")

    def fill_disk(self, refused: Callable[[], None] | None) -> None:
        """Refuse from now on what its journal is to write; None: it can again."""
        self._refused = refused
        if self._journal is not None:
            self._journal.refused = refused

    def _ask_anew(self, wanted: _Wanted) -> None:
        """Ask anew for a task whose journal is lost."""
        del self._wanted[wanted.id]
        self._recorder.add(t.TaskSettled, asker=self._name, task=wanted.id, outcome=FORGOTTEN)
        if not wanted.stream.once:
            fields = {**wanted.body, "id": f"{wanted.id}~{self._boots}", "priority": wanted.priority}
            self._want(
                fields, wanted.stream, wanted.where, wanted.on_over, node=wanted.node, group=wanted.group
            )
        elif wanted.on_over is not None:
            wanted.on_over()

    def ask(
        self,
        fields: dict[str, object],
        stream: TaskStream,
        rng: random.Random,
        on_over: Callable[[], None] | None = None,
    ) -> None:
        """Want a task done (its `id` and `priority` are set); a copy by every node of the target for `all`.

        Args:
            on_over: called when the program sees its end.
        """
        target, id_of = stream.target, self._ids.id_of
        if target.node is not None:
            self._want(fields, stream, {"node_id": id_of(target.node)}, on_over, node=target.node)
            return
        wanted = target.group
        if wanted is None and target.pick != "all":
            self._want(fields, stream, {}, on_over)
            return
        among = [node for node, group in self._group_of.items() if wanted is None or group == wanted]
        if target.pick == "all":
            living = self._executor.nodes() if self._executor is not None else {}
            for index, node in enumerate(node for node in among if id_of(node) in living):
                copy = {**fields, "id": f"{fields['id']}-{index}"}
                self._want(copy, stream, {"node_id": id_of(node)}, on_over, node=node)
            return
        if wanted is None or len(among) == len(self._group_of):
            self._want(fields, stream, {}, on_over)
        else:
            self._want(fields, stream, {"node_id": list(map(id_of, among))}, on_over, group=wanted)

    def _want(
        self,
        fields: dict[str, Any],
        stream: TaskStream,
        where: dict[str, Any],
        on_over: Callable[[], None] | None,
        *,
        node: str = "",
        group: str = "",
    ) -> None:
        answer, declared = asked_digest(fields, stream.answer)
        ends = {"unknown": stream.once, "expired": stream.timeout is not None}
        ends["node_lost"] = stream.retries is not None
        ends["cancelled"] = stream.cancel_after is not None
        self._recorder.add(
            t.TaskAsked,
            task=fields["id"],
            answer=answer,
            declared=declared,
            asker=self._name,
            priority=fields["priority"],
            once=stream.once,
            node=node,
            group=group,
            ends=[end for end, possible in ends.items() if possible],
        )
        body = {key: value for key, value in fields.items() if key not in ("id", "priority")}
        cancel_at_us = None
        if stream.cancel_after is not None:
            cancel_at_us = self._recorder.now_us() + round(stream.cancel_after * 1e6)
        wanted = _Wanted(
            fields["id"], body, fields["priority"], where, stream, on_over, node, group, cancel_at_us
        )
        self._wanted[wanted.id] = wanted
        if self._executor is not None:
            self._submit(self._executor, wanted)

    def _submit(self, executor: FleetExecutor, wanted: _Wanted) -> None:
        if executor is not self._executor or self._driver is None:
            return
        stream = wanted.stream
        try:
            future = executor.submit_task(
                wanted.body,
                key=wanted.id,
                priority=wanted.priority,
                where=wanted.where,
                timeout=stream.timeout,
                retries=stream.retries,
                once=stream.once,
                speculate=stream.speculate,
            )
        except (JournalError, Backlogged) as error:  # as a program has to: not accepted, so asked for again
            if isinstance(error, Backlogged):  # on the driver's loop; elsewhere `submit` would wait
                self._recorder.add(t.TaskBacklogged, asker=self._name, task=wanted.id)
            self._driver.call_later(_AGAIN_S, partial(self._submit, executor, wanted))
            return
        if self._settings.max_pending is not None:
            self._recorder.add(t.TaskAdmitted, asker=self._name, task=wanted.id)
        if self._told_progress:
            future.add_progress_callback(partial(self._progressed, wanted.id))
        future.add_done_callback(partial(self._over, executor, wanted))
        if wanted.cancel_at_us is not None and not wanted.cancelled:
            assert self._driver is not None
            left_s = max(0.0, (wanted.cancel_at_us - self._recorder.now_us()) / 1e6)
            self._driver.call_later(left_s, partial(_cancel, future, wanted))

    def _tell(self, event: ExecutorEvent) -> None:
        event = self._ids.renamed(event)
        if isinstance(event, ResultReceived) and event.task in self._wanted:
            self._told_by[event.task] = event.node
        self._observe(event)

    def _progressed(self, task: str, future: FleetFuture) -> None:
        percent, text = round(100 * future.progress), future.progress_text
        self._recorder.add(t.TaskProgressed, asker=self._name, task=task, percent=percent, text=text)

    def _over(self, executor: FleetExecutor, wanted: _Wanted, future: Future[Any]) -> None:
        """Let the program see the end of a task."""
        assert isinstance(future, FleetFuture)
        node = self._told_by.pop(wanted.id, "")
        cancelled = future.cancelled()
        error = None if cancelled else future.exception()
        outcome = Outcome.CANCELLED if cancelled else Outcome.RESULT
        if error is not None:
            assert isinstance(error, TaskError)
            outcome = _OUTCOMES[type(error)]
            node = self._ids.name_of(error.node) or node
        if wanted.id in self._done:
            again = value_digest(future.result()) if outcome is Outcome.RESULT else ""
            self._recorder.add(
                t.ToldAgain, asker=self._name, task=wanted.id, outcome=outcome.value, value=again
            )
            return
        del self._wanted[wanted.id]
        if outcome in (Outcome.RESULT, Outcome.FAILED):
            value = {"error": str(error)} if error is not None else future.result()
            self._recorder.add(
                t.ResultTaken,
                node=node,
                task=wanted.id,
                answer=value_digest(given(value)),
                value=value_digest(value),
                ok=outcome is Outcome.RESULT,
                asker=self._name,
                why=f"{error.type}: {error.args[0]}" if isinstance(error, TaskFailed) else "",
                traced=_last_line(error.traceback) if isinstance(error, TaskFailed) else "",
            )
        self._recorder.add(t.TaskSettled, asker=self._name, task=wanted.id, outcome=outcome.value, node=node)
        if self._settings.notes:
            self._forget(executor, wanted.id)
        else:
            self._done[wanted.id] = wanted
        if wanted.on_over is not None:
            wanted.on_over()

    def _forget(self, executor: FleetExecutor, task: str) -> None:
        """Tell the journal that it need not keep the end of this task, which is seen."""
        try:
            executor.forget(task)
        except JournalError:
            if executor is self._executor and self._driver is not None:
                self._driver.call_later(_AGAIN_S, partial(self._forget, executor, task))
