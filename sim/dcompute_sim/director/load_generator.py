"""Streams of tasks, each a SimPy process."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from simpy import Environment, Event

from dcompute_sim.director.bare_transport import BareTransport
from dcompute_sim.director.trigger import Triggers
from dcompute_sim.scenario import Scenario, TaskStream, arrivals, rng_for

if TYPE_CHECKING:
    from dcompute_sim.director.executor_program import ExecutorProgram


class TaskTaker(Protocol):
    """Who is asked for the tasks of a stream."""

    def ask(
        self,
        fields: dict[str, object],
        stream: TaskStream,
        rng: random.Random,
        on_over: Callable[[], None] | None = None,
    ) -> None:
        """Have the task done."""


class Workload:
    """All streams of a concrete scenario.

    Args:
        executors: by the name of their program.
        bare: the program that uses the bare transport.
    """

    def __init__(
        self,
        env: Environment,
        scenario: Scenario,
        executors: Mapping[str, ExecutorProgram],
        bare: BareTransport,
        triggers: Triggers,
    ) -> None:
        self._env = env
        self._scenario = scenario
        self._executors = executors
        self._bare = bare
        self._triggers = triggers

    def start(self) -> None:
        """Begin every stream."""
        for index, stream in enumerate(self._scenario.workload):
            self._env.process(self._run(index, stream))

    def _run(self, index: int, stream: TaskStream) -> Generator[Event, object, None]:
        begin_s = 0.0
        if stream.when is not None:
            yield from self._triggers.watch(stream.when)
            yield self._env.timeout(stream.when.after)
            begin_s = self._env.now
        takers: Sequence[TaskTaker] = [self._bare]
        if stream.via == "executor":
            takers = [self._executors[name] for name in self._scenario.askers_of(stream)]
        tasks = _Tasks(self._env, self._scenario, stream, takers)
        for moment_s in arrivals(self._scenario, index):
            if begin_s + moment_s > self._env.now:
                yield self._env.timeout(begin_s + moment_s - self._env.now)
            tasks.give_next()


class _Tasks:
    """Makes and hands out the tasks of one stream, to its takers by turns."""

    def __init__(
        self, env: Environment, scenario: Scenario, stream: TaskStream, takers: Sequence[TaskTaker]
    ) -> None:
        self._env = env
        self._stream = stream
        self._takers = itertools.cycle(takers)
        self._rng: random.Random = rng_for(scenario, f"tasks/{stream.id}")
        self._targets = rng_for(scenario, f"targets/{stream.id}")
        self._given = 0

    def give_next(self) -> None:
        """Hand out one task; in a closed loop its end brings the next one."""
        stream = self._stream
        if stream.tasks is not None and self._given >= stream.tasks:
            return
        if stream.until is not None and self._env.now > stream.until:
            return
        self._given += 1
        again = self.give_next if stream.outstanding is not None else None
        next(self._takers).ask(self._fields(), stream, self._targets, again)

    def _fields(self) -> dict[str, object]:
        fields = dict(self._stream.task or {})
        fields.setdefault("id", f"{self._stream.id}-{self._given}")
        fields.setdefault("priority", self._stream.priority.draw(self._rng))
        if self._stream.payload is not None:
            missing = self._stream.payload - len(json.dumps(fields, ensure_ascii=False).encode())
            fields["fill"] = "x" * max(0, missing - len(', "fill": "", "attempt": 1'))
        return fields
