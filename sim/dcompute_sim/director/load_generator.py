"""Streams of tasks, each a SimPy process."""

from __future__ import annotations

import json
import random
from collections.abc import Generator
from typing import Any

from simpy import Environment, Event

from dcompute_sim.director.dispatcher import Dispatcher
from dcompute_sim.director.trigger import Triggers
from dcompute_sim.scenario import Scenario, TaskStream, arrivals, rng_for


class Workload:
    """All streams of a concrete scenario."""

    def __init__(
        self, env: Environment, scenario: Scenario, dispatcher: Dispatcher, triggers: Triggers
    ) -> None:
        self._env = env
        self._scenario = scenario
        self._dispatcher = dispatcher
        self._triggers = triggers

    def start(self) -> None:
        """Begin every stream."""
        for index, stream in enumerate(self._scenario.workload):
            self._env.process(self._run(index, stream))

    def _run(self, index: int, stream: TaskStream) -> Generator[Event, Any, None]:
        begin_s = 0.0
        if stream.when is not None:
            yield from self._triggers.watch(stream.when)
            yield self._env.timeout(stream.when.after)
            begin_s = self._env.now
        tasks = _Tasks(self._env, self._scenario, stream, self._dispatcher)
        for moment_s in arrivals(self._scenario, index):
            if begin_s + moment_s > self._env.now:
                yield self._env.timeout(begin_s + moment_s - self._env.now)
            tasks.give_next()


class _Tasks:
    """Makes and hands out the tasks of one stream."""

    def __init__(
        self, env: Environment, scenario: Scenario, stream: TaskStream, dispatcher: Dispatcher
    ) -> None:
        self._env = env
        self._stream = stream
        self._dispatcher = dispatcher
        self._timeout_s = scenario.master.task_timeout
        self._rng: random.Random = rng_for(scenario, f"tasks/{stream.id}")
        self._targets = rng_for(scenario, f"targets/{stream.id}")
        self._given = 0

    def give_next(self) -> None:
        """Hand out one task; in a closed loop its result brings the next one."""
        stream = self._stream
        if stream.tasks is not None and self._given >= stream.tasks:
            return
        if stream.until is not None and self._env.now > stream.until:
            return
        self._given += 1
        fields = self._fields()
        closed = stream.outstanding is not None
        again = self.give_next if closed else None
        self._dispatcher.give(fields, stream.target, self._targets, again, stream.answer)
        if self._timeout_s is not None:
            self._env.process(self._send_again(fields["id"], self._timeout_s))

    def _fields(self) -> dict[str, Any]:
        fields = dict(self._stream.task or {})
        fields.setdefault("id", f"{self._stream.id}-{self._given}")
        fields.setdefault("priority", self._stream.priority.draw(self._rng))
        if self._stream.payload is not None:
            missing = self._stream.payload - len(json.dumps(fields, ensure_ascii=False).encode())
            fields["fill"] = "x" * max(0, missing - len(', "fill": "", "attempt": 1'))
        return fields

    def _send_again(self, task_id: str, timeout_s: float) -> Generator[Event, Any, None]:
        while True:
            yield self._env.timeout(timeout_s)
            if not self._dispatcher.is_open(task_id):
                return
            self._dispatcher.again(task_id)
