"""Two runs of one scenario side by side: verdicts, times until deaths were named, what came of faults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dcompute_sim import trace as t
from dcompute_sim.checks.check import Measurement, Status
from dcompute_sim.checks.verdict import Result, Verdict
from dcompute_sim.report.console import STYLE, WORD
from dcompute_sim.report.fault_outcome import FaultOutcome, Key, fault_outcomes
from dcompute_sim.report.text import ColumnUnit, seconds


@dataclass(frozen=True)
class Side:
    """One of the two runs. `name`: virtual, real, sim, emulator, board, or its file's."""

    name: str
    verdict: Verdict
    events: Sequence[t.Event]

    @property
    def started(self) -> t.RunStarted:
        first = self.events[0]
        assert isinstance(first, t.RunStarted)
        return first

    @cached_property
    def fault_outcomes(self) -> dict[Key, FaultOutcome]:
        return fault_outcomes(self.events)

    @cached_property
    def distributions(self) -> dict[str, Measurement]:
        return {f"{r.name}: {d.name}": d for r in self.verdict.results for d in r.outcome.distributions}


@dataclass(frozen=True)
class Sides:
    """The two runs."""

    left: Side
    right: Side

    @property
    def agree(self) -> bool:
        """The same verdict, on the whole and on each expectation."""
        return all(_status(one) is _status(other) for one, other in self.pairs())

    def pairs(self) -> list[tuple[Result | None, Result | None]]:
        """Return the results of each expectation, as both scenarios are one."""
        left = {result.label: result for result in self.left.verdict.results}
        right = {result.label: result for result in self.right.verdict.results}
        return [(left.get(label), right.get(label)) for label in dict.fromkeys([*left, *right])]


def print_comparison(console: Console, sides: Sides) -> None:
    """Print verdicts, then every measured distribution of both, then what came of each fault."""
    for table in (_verdicts(sides), _latencies(sides), _faults(sides)):
        if table.row_count:
            console.print()
            console.print(table)
    console.print()
    for side in (sides.left, sides.right):
        told = f"{side.name}: broker {side.started.broker}, which notices silence up to "
        console.print(Text(f"{told}{side.started.broker_granularity_s:g} s late", style="dim"))
    told = "the verdicts agree" if sides.agree else "the verdicts DIFFER"
    console.print(Text(told, style="green" if sides.agree else "bold red"))


def _verdicts(sides: Sides) -> Table:
    table = _table("expectation", sides.left.name, sides.right.name, "")
    for left, right in sides.pairs():
        label = (left or right).label  # type: ignore[union-attr]  # one of them is there
        differ = "" if _status(left) is _status(right) else "differ"
        table.add_row(label, _word(left), _word(right), Text(differ, style="bold red"))
    return table


def _latencies(sides: Sides) -> Table:
    """Show both sides' measurements of times, all in the unit that the head names."""
    left, right = sides.left.distributions, sides.right.distributions
    both = [*left.values(), *right.values()]
    unit = ColumnUnit.of("s", (d.figures().get("max", 0) for d in both))
    table = _table(f"measured, in {unit.name}", "time")
    for heading in ("count", "min", "median", "max", "bound"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name in dict.fromkeys([*left, *right]):
        heading = name
        for side in (sides.left, sides.right):
            if name in side.distributions:
                figures = side.distributions[name].figures()
                cells = [unit.text(figures.get(key)) for key in ("min", "median", "max", "bound")]
                table.add_row(heading, side.name, f"{int(figures['count']):,}", *cells)
                heading = ""
    return table


def _faults(sides: Sides) -> Table:
    table = _table("fault", "", "node")
    table.add_column("events, in order", overflow="fold")
    for heading in ("dead in", "back in"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    left, right = sides.left.fault_outcomes, sides.right.fault_outcomes
    for key in dict.fromkeys([*left, *right]):
        heading = f"{key[0]} {key[1]}"
        same = key in left and key in right and left[key].order == right[key].order
        for side in (sides.left, sides.right):
            row = outcome_cells(side.fault_outcomes.get(key))
            mark = "" if same or not heading else "differs"
            table.add_row(heading, side.name, *row, Text(mark, style="yellow"))
            heading = ""
    return table


def outcome_cells(found: FaultOutcome | None) -> list[str]:
    """Return whom a fault befell, what was seen of it, in how many seconds the node was dead, and back; in
    words."""
    if found is None:
        return ["", "not injected", "", ""]
    times = [found.dead_after_s, found.back_after_s]
    order = " ".join(found.order) or "nothing was seen"
    return [found.node, order, *("" if time is None else seconds(time) for time in times)]


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first, overflow="fold")
    for heading in others:
        table.add_column(heading, no_wrap=True)
    return table


def _status(result: Result | None) -> Status | None:
    return result.outcome.status if result is not None else None


def _word(result: Result | None) -> Text:
    status = _status(result)
    return Text(WORD[status], style=STYLE[status]) if status is not None else Text("not judged", style="dim")
