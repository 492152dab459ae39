"""`when:` an event of the trace has happened: SimPy events that the trace triggers."""

from __future__ import annotations

from collections.abc import Generator, Mapping

from simpy import Environment, Event

from dcompute_sim.faults.schedule import When
from dcompute_sim.trace import Event as TraceEvent
from dcompute_sim.trace import Trace


class Triggers:
    """Watches the trace for what scenarios wait for."""

    def __init__(self, env: Environment, trace: Trace, group_of: Mapping[str, str]) -> None:
        self._env = env
        self._trace = trace
        self._group_of = group_of
        self._watched: list[_WatchedCondition] = []

    def watch(self, when: When, times: int = 1) -> Generator[Event, TraceEvent, None]:
        """Return a generator of SimPy events: yield each; its value is the trace event that triggered it."""
        watch = _WatchedCondition(self._env, when, times)
        if not self._watched:
            self._trace.listen(self._on_event)
        self._watched.append(watch)
        return watch.each()

    def _on_event(self, event: TraceEvent) -> None:
        for watch in self._watched:
            watch.on_event(event, self._group_of)


class _WatchedCondition:
    def __init__(self, env: Environment, when: When, times: int) -> None:
        self._when = when
        self._seen = 0
        self._left = times
        self._events = [env.event() for _ in range(times)]

    def each(self) -> Generator[Event, object, None]:
        for event in self._events:  # noqa: UP028 - a list's iterator cannot be sent the values SimPy sends
            yield event

    def on_event(self, event: TraceEvent, group_of: Mapping[str, str]) -> None:
        if not self._left or not self._when.matches(event, group_of):
            return
        self._seen += 1
        if self._seen >= self._when.count:
            self._events[-self._left].succeed(event)
            self._left -= 1
