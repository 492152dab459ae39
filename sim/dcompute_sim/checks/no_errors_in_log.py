"""Check: production code logged no error."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from dcompute.parts import number_of
from dcompute_sim.checks.check import Check, CheckOutcome, failed, held, inconclusive, named
from dcompute_sim.trace import Event, LogLine, NodeDefined, NodeStarted, RunStarted

_LEVELS = ("debug", "info", "warning", "error", "critical")


class NoErrorsInLog(Check):
    """Nothing of this level or above was logged, except what is allowed.

    Undecided while a node never ran, as it had nothing to log.

    Limit: only what production code logs; what a program prints is no log.
    """

    name: ClassVar[str] = "no_errors_in_log"
    occasion: ClassVar[str] = "nodes that start"

    level: Literal["warning", "error", "critical"] = Field(default="error", description="From this level on.")
    allow: tuple[str, ...] = Field(default=(), description="Regular expressions of lines that do not count.")

    @field_validator("allow")
    @classmethod
    def _compile(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"`{pattern}` is not a regular expression: {error}") from None
        return patterns

    def judge(self, trace: Sequence[Event]) -> CheckOutcome:
        if not any(isinstance(event, RunStarted) for event in trace[:1]):
            return inconclusive("there was no run")
        started = {event.node for event in trace if isinstance(event, NodeStarted)}
        idle = [e.node for e in trace if isinstance(e, NodeDefined) and e.node not in started]
        lines = [event for event in trace if isinstance(event, LogLine)]
        bad = [line for line in lines if self._counts(line)]
        figures = {"programs": len(started), "lines": len(lines), "bad": len(bad), "never_ran": len(idle)}
        if bad:
            return failed(f"{number_of(len(bad), 'line')} of level {self.level} or above", bad, figures)
        if idle:
            return inconclusive(f"{named(idle)} never ran, so there was nothing to log", figures)
        if not started:
            return inconclusive("no program ran, so there was nothing to log", figures)
        return held(
            f"no line of level {self.level} or above of {number_of(len(started), 'program')}",
            figures,
        )

    def _counts(self, line: LogLine) -> bool:
        level = line.level.lower()
        severe = level not in _LEVELS or _LEVELS.index(level) >= _LEVELS.index(self.level)
        return severe and not any(re.search(pattern, line.text) for pattern in self.allow)
