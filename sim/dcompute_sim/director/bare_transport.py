"""A program that uses the bare transport: it chooses a node and calls `send_task`, once for each task.

What is lost on the way is lost, unless the stream has a patience (`again_after`): then the program does what
such programs do, and gives the task to a node again, which is the task's next attempt. Whoever wants more has
an executor (`executor_program`). A task for which there is no living node is refused, as `send_task` does.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from functools import partial
from typing import Any

from simpy import Environment, Event

from dcompute.errors import NodeUnavailable
from dcompute.events import MasterEvent, NodeStatusSeen, ResultReceived
from dcompute_sim import trace as t
from dcompute_sim.answers import asked_digest
from dcompute_sim.director.master_program import TransportMaster
from dcompute_sim.recorder import Recorder
from dcompute_sim.scenario import TaskStream

_LIFELESS = ("dead", "offline")


class BareTransport:
    """Sends tasks through the master's transport.

    Args:
        group_of: every node's group.
    """

    def __init__(self, env: Environment, recorder: Recorder, group_of: Mapping[str, str]) -> None:
        self._env = env
        self._recorder = recorder
        self._group_of = group_of
        self._master: TransportMaster | None = None
        self._alive: dict[str, None] = {}
        self._turns: Counter[str | None] = Counter()  # of each group, and of all nodes
        self._given = 0  # tasks so far
        self._last_given: dict[str, int] = {}  # node -> which of them was its newest
        self._unfinished: Counter[str] = Counter()  # by node
        self._awaited: dict[str, None] = {}  # tasks that are sent again until their result has come
        self._open: dict[str, tuple[str, Callable[[], None] | None]] = {}

    def serve(self, master: TransportMaster) -> None:
        """Send through this master."""
        self._master = master

    def ask(
        self,
        fields: dict[str, object],
        stream: TaskStream,
        rng: random.Random,
        on_over: Callable[[], None] | None = None,
    ) -> None:
        """Send a task (its `id` and `priority` are set); a copy to every node of the target for `all`.

        Args:
            rng: the stream's own, so that one stream more or less moves no other's targets.
            on_over: called when its result has come.
        """
        if stream.target.pick == "all" and stream.target.node is None:
            for index, node in enumerate(self._living(stream.target.group)):
                copy = {**fields, "id": f"{fields['id']}-{index}"}
                self._ask(copy, partial(str, node), stream, on_over)
        else:
            self._ask(fields, partial(self._choose, stream, rng), stream, on_over)

    def on_master_event(self, event: MasterEvent) -> None:
        """Observe what the master sees."""
        if isinstance(event, NodeStatusSeen):
            if event.status in _LIFELESS:
                self._alive.pop(event.node, None)
            else:
                self._alive[event.node] = None
        elif isinstance(event, ResultReceived):
            self._awaited.pop(event.task, None)
            node, on_over = self._open.pop(event.task, ("", None))
            self._unfinished[node] -= 1
            if on_over is not None:
                on_over()

    def _ask(
        self,
        fields: dict[str, Any],
        choose: Callable[[], str],
        stream: TaskStream,
        on_over: Callable[[], None] | None,
    ) -> None:
        answer, declared = asked_digest(fields, stream.answer)
        self._recorder.add(
            t.TaskAsked, task=fields["id"], answer=answer, declared=declared, priority=fields["priority"]
        )
        if stream.again_after is not None:
            self._awaited[fields["id"]] = None
            self._env.process(self._again(fields, choose, stream.again_after, on_over))
        self._send(fields, choose(), on_over)

    def _again(
        self,
        fields: dict[str, object],
        choose: Callable[[], str],
        patience_s: float,
        on_over: Callable[[], None] | None,
    ) -> Generator[Event, object, None]:
        yield self._env.timeout(patience_s)
        while fields["id"] in self._awaited:
            node, _ = self._open.pop(fields["id"], ("", None))
            self._unfinished[node] -= 1
            self._send(fields, choose(), on_over)
            yield self._env.timeout(patience_s)

    def _send(self, fields: dict[str, Any], node: str, on_over: Callable[[], None] | None) -> None:
        task_id = fields["id"]
        master = self._master
        try:
            if master is None or master.transport is None:
                raise NodeUnavailable("the master does not run")
            if not node:
                raise NodeUnavailable("there is no living node")
            master.send_task(node, fields)
        except NodeUnavailable as error:
            self._recorder.add(t.TaskRefused, node=node, task=task_id, reason=str(error))
            return
        self._open[task_id] = (node, on_over)
        self._unfinished[node] += 1
        self._given += 1
        self._last_given[node] = self._given

    def _choose(self, stream: TaskStream, rng: random.Random) -> str:
        target = stream.target
        if target.node is not None:
            return target.node
        candidates = self._living(target.group)
        if not candidates:
            return ""
        if target.pick == "round_robin":
            self._turns[target.group] += 1
            return candidates[self._turns[target.group] % len(candidates)]
        if target.pick == "least_busy":
            return min(candidates, key=lambda node: (self._unfinished[node], self._last_given.get(node, 0)))
        return rng.choice(candidates)

    def _living(self, group: str | None) -> list[str]:
        return [node for node in self._alive if group is None or self._group_of.get(node) == group]
