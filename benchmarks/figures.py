"""A measured value and its target, and how both are printed."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import simpy


@dataclass(frozen=True)
class Figure:
    """`target`: what it should be `at_most` or `at_least`; None for a figure that only informs."""

    name: str
    value: float
    unit: str
    kind: Literal["at_most", "at_least"] = "at_most"
    target: float | None = None

    @property
    def met(self) -> bool:
        """Whether it keeps its target, if it has one."""
        if self.target is None:
            return True
        return self.value <= self.target if self.kind == "at_most" else self.value >= self.target

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "met": self.met}


def print_figures(title: str, figures: Iterable[Figure]) -> None:
    """One line a figure."""
    print(title)
    for figure in figures:
        bound = ""
        if figure.target is not None:
            bound = f"  {'<=' if figure.kind == 'at_most' else '>='} {figure.target:g}"
            bound += "" if figure.met else "  MISSED"
        print(f"  {figure.name:<58} {figure.value:>12,.3f} {figure.unit}{bound}", flush=True)


def simpy_events_per_s(events: int = 200_000) -> float:
    """The yardstick: what bare SimPy does in this process at this moment."""
    env = simpy.Environment()

    def ticking() -> Any:
        for _ in range(events // 10):
            yield env.timeout(1)

    for _ in range(10):
        env.process(ticking())
    began_s = time.process_time()
    env.run()
    return events / (time.process_time() - began_s)
