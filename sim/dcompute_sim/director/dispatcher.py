"""The program above the master: knows who has which task, and gives the tasks of the dead to the living.

What a careful user of MasterNodeTransport would write. A node that connected anew gets its unfinished tasks
again, since what was on the way to its old connection is lost; the master accepts each result once.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dcompute.errors import NodeUnavailable
from dcompute.events import MasterEvent, NodeStatusSeen, ResultReceived
from dcompute_sim import trace as t
from dcompute_sim.answers import expected
from dcompute_sim.director.master_handle import MasterHandle
from dcompute_sim.production_events import value_digest
from dcompute_sim.recorder import Recorder
from dcompute_sim.scenario import TaskTarget

_LIFELESS = ("dead", "offline")


@dataclass(slots=True)
class _Task:
    fields: dict[str, Any]
    target: TaskTarget
    rng: random.Random  # its stream's, so that one stream more or less moves no other's targets
    node: str = ""
    on_result: Callable[[], None] | None = None


class Dispatcher:
    """Hands out tasks, and those of the dead again.

    Args:
        reassign: whether tasks of a dead node go to others.
    """

    def __init__(
        self,
        recorder: Recorder,
        group_of: Mapping[str, str],
        *,
        reassign: bool,
    ) -> None:
        self._recorder = recorder
        self._group_of = group_of
        self._reassign = reassign
        self._master: MasterHandle | None = None
        self._alive: dict[str, str] = {}  # node -> incarnation
        self._open: dict[str, _Task] = {}
        self._of_node: dict[str, dict[str, None]] = {}
        self._waiting: dict[str, None] = {}  # tasks for which there was no node
        self._turns: Counter[str | None] = Counter()  # of each group, and of all nodes
        self._given = 0  # tasks so far
        self._last_given: dict[str, int] = {}  # node -> which of them was its newest

    def serve(self, master: MasterHandle) -> None:
        """Send through this master."""
        self._master = master

    def unfinished(self) -> int:
        """How many tasks have no result yet."""
        return len(self._open)

    def give(
        self,
        fields: dict[str, Any],
        target: TaskTarget,
        rng: random.Random,
        on_result: Callable[[], None] | None = None,
        answer: Any = None,
    ) -> None:
        """Hand out a task (its `id` and `priority` are set); to every node of the target for `all`.

        `answer`: what the scenario says that it is to be answered with; None: what follows from the task.
        """
        if target.pick == "all" and target.node is None:
            for index, node in enumerate(self._candidates(target)):
                copy = {**fields, "id": f"{fields['id']}-{index}"}
                self._add(_Task(copy, TaskTarget(node=node), rng, on_result=on_result), answer)
        else:
            self._add(_Task(fields, target, rng, on_result=on_result), answer)

    def _add(self, task: _Task, answer: Any) -> None:
        declared = answer is not None
        known = value_digest(answer if declared else expected(task.fields))
        self._recorder.add(
            t.TaskAsked,
            task=task.fields["id"],
            answer=known,
            declared=declared,
            priority=task.fields["priority"],
        )
        self._open[task.fields["id"]] = task
        self._place(task.fields["id"])

    def is_open(self, task_id: str) -> bool:
        """Whether the task has no result yet."""
        return task_id in self._open

    def again(self, task_id: str) -> None:
        """Send the task once more, if it has no result yet (it timed out)."""
        if task_id in self._open and task_id not in self._waiting:
            self._take_back(task_id)
            self._place(task_id)

    # --- what the master tells --------------------------------------------------------------------------

    def on_master_event(self, event: MasterEvent) -> None:
        """The master's observer."""
        if isinstance(event, NodeStatusSeen):
            self._status_seen(event.node, event.status, event.inc)
        elif isinstance(event, ResultReceived):
            self._result(event.task)

    def _status_seen(self, node: str, status: str, inc: str) -> None:
        if status in _LIFELESS:
            if self._alive.pop(node, None) is not None and self._reassign:
                self._move_from(node)
            return
        known = self._alive.get(node)
        self._alive[node] = inc
        if known != inc:
            self._move_from(node)
        for task_id in list(self._waiting):
            self._place(task_id)

    def _move_from(self, node: str) -> None:
        for task_id in list(self._of_node.get(node, ())):
            self._take_back(task_id)
            self._place(task_id)

    def _result(self, task_id: str) -> None:
        task = self._open.pop(task_id, None)
        if task is None:
            return
        self._waiting.pop(task_id, None)
        if task.node:
            self._of_node[task.node].pop(task_id, None)
        if task.on_result is not None:
            task.on_result()

    # --- placing ----------------------------------------------------------------------------------------

    def _take_back(self, task_id: str) -> None:
        task = self._open[task_id]
        self._of_node[task.node].pop(task_id, None)
        task.node = ""

    def _place(self, task_id: str) -> None:
        """Send the task to a node, or keep it until there is one."""
        task = self._open[task_id]
        master = self._master
        while master is not None and master.transport is not None and (node := self._choose(task)):
            try:
                master.send_task(node, task.fields)
            except NodeUnavailable as error:
                self._recorder.add(t.TaskRefused, node=node, task=task_id, reason=str(error))
                self._alive.pop(node, None)  # a new master knows better than we do what its predecessor told
                continue
            self._waiting.pop(task_id, None)
            task.node = node
            self._of_node.setdefault(node, {})[task_id] = None
            self._given += 1
            self._last_given[node] = self._given
            return
        self._waiting[task_id] = None

    def _choose(self, task: _Task) -> str:
        target = task.target
        if target.node is not None and (target.node in self._alive or not self._reassign):
            return target.node if target.node in self._alive else ""
        candidates = self._candidates(target)
        if not candidates:
            return ""
        if target.pick == "round_robin":
            self._turns[target.group] += 1
            return candidates[self._turns[target.group] % len(candidates)]
        if target.pick == "least_busy":
            return min(candidates, key=self._load)
        return task.rng.choice(candidates)

    def _load(self, node: str) -> tuple[int, int]:
        """Unfinished tasks; of equals the one that has waited longest for a task comes first."""
        return len(self._of_node.get(node, ())), self._last_given.get(node, 0)

    def _candidates(self, target: TaskTarget) -> list[str]:
        """Living nodes of the target's group; for a named node that is dead, its group or else anyone."""
        if target.node is None:
            return self._living(target.group)
        return self._living(self._group_of.get(target.node)) or self._living(None)

    def _living(self, group: str | None) -> list[str]:
        return [node for node in self._alive if group is None or self._group_of.get(node) == group]
