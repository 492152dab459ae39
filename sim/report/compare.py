"""One scenario in virtual and in real time, side by side: verdicts, and how long deaths took to be named."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sim.checks.base import Distribution, Status
from sim.checks.verdict import Result, Verdict
from sim.report import words
from sim.report.console import STYLE, WORD
from sim.trace import RunStarted


@dataclass(frozen=True)
class Sides:
    """The two verdicts, and how each trace begins."""

    virtual: Verdict
    real: Verdict
    virtual_start: RunStarted
    real_start: RunStarted

    @property
    def agree(self) -> bool:
        """The same verdict, on the whole and on each expectation."""
        return all(_status(one) is _status(other) for one, other in self.pairs())

    def pairs(self) -> list[tuple[Result | None, Result | None]]:
        """The results of each expectation, as both scenarios are one."""
        real = {result.label: result for result in self.real.results}
        virtual = {result.label: result for result in self.virtual.results}
        return [(virtual.get(label), real.get(label)) for label in dict.fromkeys([*virtual, *real])]


def print_comparison(console: Console, sides: Sides) -> None:
    """Print verdicts, then every measured distribution of both."""
    console.print()
    console.print(_verdicts(sides))
    console.print()
    console.print(_latencies(sides))
    console.print()
    for start in (sides.virtual_start, sides.real_start):
        told = f"{start.time}: broker {start.broker}, which notices silence up to "
        console.print(Text(f"{told}{start.broker_granularity_s:g} s late", style="dim"))
    told = "the verdicts agree" if sides.agree else "the verdicts DIFFER"
    console.print(Text(told, style="green" if sides.agree else "bold red"))


def _verdicts(sides: Sides) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("expectation", overflow="fold")
    table.add_column("virtual", no_wrap=True)
    table.add_column("real", no_wrap=True)
    table.add_column("", no_wrap=True)
    for virtual, real in sides.pairs():
        label = (virtual or real).label  # type: ignore[union-attr]  # one of them is there
        differ = "" if _status(virtual) is _status(real) else "differ"
        table.add_row(label, _word(virtual), _word(real), Text(differ, style="bold red"))
    return table


def _latencies(sides: Sides) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("measured", overflow="fold")
    table.add_column("time", no_wrap=True)
    for heading in ("count", "min", "median", "max", "bound"):
        table.add_column(heading, justify="right", no_wrap=True)
    virtual, real = _distributions(sides.virtual), _distributions(sides.real)
    for name in dict.fromkeys([*virtual, *real]):
        for side, found in (("virtual", virtual.get(name)), ("real", real.get(name))):
            if found is not None:
                table.add_row(name if side == "virtual" or name not in virtual else "", side, *_cells(found))
    return table


def _cells(distribution: Distribution) -> list[str]:
    figures = distribution.figures()
    measured = [
        words.measure(figures[key], distribution.unit) if key in figures else ""
        for key in ("min", "median", "max", "bound")
    ]
    return [f"{int(figures['count']):,}", *measured]


def _distributions(verdict: Verdict) -> dict[str, Distribution]:
    return {f"{r.name}: {d.name}": d for r in verdict.results for d in r.outcome.distributions}


def _status(result: Result | None) -> Status | None:
    return result.outcome.status if result is not None else None


def _word(result: Result | None) -> Text:
    status = _status(result)
    return Text(WORD[status], style=STYLE[status]) if status is not None else Text("not judged", style="dim")
