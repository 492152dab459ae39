"""What a check is: a property of a run, with its parameters, judged from the trace alone.

A check never raises on a trace and never looks anywhere else. It has three outcomes, because "nothing bad
was seen" and "it was never put to the test" are different things: a check whose subject never occurred is
inconclusive, not held.
"""

from __future__ import annotations

import enum
import math
from abc import ABC, abstractmethod
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from dcompute_sim.registry import Registry
from dcompute_sim.trace import Event

MAX_OFFENDING = 20  # enough to see a pattern; a broken run of 1,000 nodes has thousands


class Status(enum.StrEnum):
    """How a check ended."""

    HELD = "held"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Measurement:
    """Measured values of one kind (say, seconds from crash to report) and the bound they had to keep.

    `percent`: how many of a hundred had to keep it.
    """

    name: str
    unit: str
    samples: tuple[float, ...]
    bound: float | None = None
    percent: float = 100.0

    @property
    def judged(self) -> float | None:
        """What is compared with the bound; None without a sample."""
        return self.percentile(self.percent) if self.samples else None

    def percentile(self, percent: float) -> float:
        """Return the smallest sample that at least `percent` % of the samples do not exceed (nearest
        rank)."""
        ordered = sorted(self.samples)
        return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]

    def figures(self) -> dict[str, float]:
        """Count, min, median, max and the bound, as plain numbers."""
        result: dict[str, float] = {"count": len(self.samples)}
        if self.samples:
            result |= {
                "min": min(self.samples),
                "median": self.percentile(50),
                "max": max(self.samples),
            }
        if self.bound is not None:
            result["bound"] = self.bound
        return result


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """What a check found. `summary`: one line for people; `offending`: the first events that broke it."""

    status: Status
    summary: str
    figures: Mapping[str, float | int | str] = field(default_factory=dict)
    offending: tuple[Event, ...] = ()
    distributions: tuple[Measurement, ...] = ()


def held(
    summary: str,
    figures: Mapping[str, float | int | str] | None = None,
    distributions: Sequence[Measurement] = (),
) -> CheckOutcome:
    """Say that the property was put to the test and was true."""
    return CheckOutcome(Status.HELD, summary, figures or {}, (), tuple(distributions))


def failed(
    summary: str,
    offending: Iterable[Event],
    figures: Mapping[str, float | int | str] | None = None,
    distributions: Sequence[Measurement] = (),
) -> CheckOutcome:
    """Say that the property was broken, by these events (only the first MAX_OFFENDING are kept)."""
    first = tuple(offending)[:MAX_OFFENDING]
    return CheckOutcome(Status.FAILED, summary, figures or {}, first, tuple(distributions))


def inconclusive(
    summary: str,
    figures: Mapping[str, float | int | str] | None = None,
    distributions: Sequence[Measurement] = (),
) -> CheckOutcome:
    """Say that the run did not put the property to the test; the summary says what was missing."""
    return CheckOutcome(Status.INCONCLUSIVE, summary, figures or {}, (), tuple(distributions))


class Check(BaseModel, ABC):
    """One property of a run. Its fields are the parameters a scenario may set."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    name: ClassVar[str]
    """The key under `expect:` in a scenario."""
    occasion: ClassVar[str] = ""
    """What a scenario needs so that this is put to the test: for whoever finds it undecided."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: object) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if "name" in vars(cls):
            CHECKS.add(cls.name, cls)

    @abstractmethod
    def judge(self, trace: Sequence[Event]) -> CheckOutcome:
        """Judge a whole trace; pure."""

    def describe(self) -> str:
        """Say what is expected: the class's first docstring line."""
        return (self.__doc__ or self.name).strip().splitlines()[0]


CHECKS: Registry[Check] = Registry("check")
"""Every check by the key used under `expect:` in a scenario."""


def named(names: Sequence[str], most: int = 3) -> str:
    """Return `esp-1, esp-2, esp-3 and 5 more`, for summaries."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def excused(why: Mapping[str, int], judged: int) -> str:
    """Return `; 14 of 60 excused: 10 link down, 4 found no node`, for summaries; "" where nothing was.

    A check that excuses says how often, and why: an excuse that is used all the time hides what it is for.

    Args:
        why: how often which excuse was used.
        judged: what was not excused.
    """
    count = sum(why.values())
    if not count:
        return ""
    told = ", ".join(f"{times} {reason}" if len(why) > 1 else reason for reason, times in sorted(why.items()))
    return f"; {count} of {count + judged} excused: {told}"


def of_kinds(kinds: Container[type], trace: Sequence[Event]) -> Iterator[Event]:
    """Yield the events of these types, in order. To any one check most of a trace is nothing, and passed over
    quickly."""
    return compress(trace, are_kinds(kinds, trace))


def are_kinds(kinds: Container[type], trace: Sequence[Event]) -> Iterator[bool]:
    """Yield, for each event, whether it is of one of these types."""
    return map(kinds.__contains__, map(type, trace))


def window(trace: Sequence[Event], around: Event, before: int = 8, after: int = 4) -> list[Event]:
    """Return the events just before and after `around` (by position) that concern the same node, with it
    included.

    Events of other nodes, other tasks and other people's logs are left out: in a fleet of 1,000 they are
    nearly all of what happened meanwhile.
    """
    node = getattr(around, "node", "")
    index = next((i for i, event in enumerate(trace) if event is around), None)
    if index is None:
        return [around]

    def concerns(event: Event) -> bool:
        of = getattr(event, "node", "") or getattr(event, "who", "")
        return of == node if of else not hasattr(event, "task")

    earlier: list[Event] = []
    for event in reversed(trace[:index]):
        if len(earlier) == before:
            break
        if concerns(event):
            earlier.append(event)
    later: list[Event] = []
    for event in trace[index + 1 :]:
        if len(later) == after:
            break
        if concerns(event):
            later.append(event)
    return [*reversed(earlier), around, *later]
