"""The verdict on the terminal: what was expected, what was measured, and how to see it again.

Three modes: normal (tables and colour), plain (the same without colour, markup or line drawing: for log
files) and quiet (one line, plus what went wrong). Nothing needs more than 80 columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dcompute.parts import number_of, printable
from dcompute_sim.checks.check import Measurement, Status, window
from dcompute_sim.checks.verdict import Result
from dcompute_sim.report.broker_drops import drops
from dcompute_sim.report.energy_report import drawn_by_group
from dcompute_sim.report.not_modelled import not_modelled
from dcompute_sim.report.run_report import RunReport
from dcompute_sim.report.text import ColumnUnit, counted, event_line, plural, seconds, sentence
from dcompute_sim.report.why import why
from dcompute_sim.terminal import Mode

STYLE = {Status.HELD: "green", Status.FAILED: "bold red", Status.INCONCLUSIVE: "bold yellow"}
WORD = {Status.HELD: "held", Status.FAILED: "FAILED", Status.INCONCLUSIVE: "undecided"}
_SHOWN_FAILURES = 3
_WIDE = 200  # columns: no terminal but a pipe, whose lines are as long as they need be
_NOTHING: Mapping[str, str] = MappingProxyType({})


def print_run(console: Console, run: RunReport, mode: Mode = "normal") -> None:
    """Print the verdict on one run."""
    if mode == "quiet":
        _print_quiet(console, run)
        return
    console.print(_head(run))
    console.print()
    console.print(_expectations(run.verdict.results, 32 if console.width < _WIDE else None))
    console.print()
    measured = [(result, d) for result in run.verdict.results for d in result.outcome.distributions]
    for unit in dict.fromkeys(d.unit for _, d in measured):
        console.print(_measured([(result, d) for result, d in measured if d.unit == unit], unit))
        console.print()
    if run.totals.faults:
        console.print(Text(f"Faults: {counted(run.totals.faults)}.", style="dim"))
    for told in drawn_by_group(run.events):
        console.print(Text(f"Energy: {told}.", style="dim"))
    for told in (*drops(run.events), *not_modelled(run.events)):
        console.print(Text(sentence(told), style="yellow"))
    told_of: dict[tuple[str, ...], str] = {}
    for result in run.verdict.results:
        if result.outcome.status is not Status.HELD:
            _print_why(console, run, result, told_of)
    kept = len(run.verdict.of(Status.HELD))
    told = (
        f": {kept} of {number_of(len(run.verdict.results), 'expectation')} held (exit "
        f"status {run.verdict.exit_status})"
    )
    console.print(Text.assemble(_word(run.verdict.status), told))
    _print_replay(console, run)


def print_summary(console: Console, runs: Sequence[RunReport], undone: Mapping[str, str] = _NOTHING) -> None:
    """Print one line a run, and the sum: for `dcompute run FOLDER`.

    Args:
        undone: scenarios that could not be run, and why.
    """
    table = Table(box=None, pad_edge=False, show_header=True, header_style="bold")
    table.add_column("scenario", overflow="fold", ratio=3)
    table.add_column("verdict", no_wrap=True)
    for heading in ("nodes", "faults", "tasks", "time", "took"):
        table.add_column(heading, justify="right", no_wrap=True)
    for run in runs:
        table.add_row(
            Text(run.name),
            _word(run.verdict.status),
            f"{run.totals.nodes:,}",
            f"{run.totals.faults.total():,}",
            f"{run.totals.tasks:,}",
            seconds(run.simulated_s),
            "" if run.wall_s is None else seconds(run.wall_s),
        )
    for name in undone:
        table.add_row(Text(name), Text("not run", style=STYLE[Status.FAILED]))
    console.print(table)
    for run in runs:
        if run.verdict.status is not Status.HELD:
            _print_quiet(console, run)
    for name, reason in undone.items():
        console.print(Text(f"{name}: not run: {reason}"), soft_wrap=True)
    bad = sum(run.verdict.status is not Status.HELD for run in runs) + len(undone)
    of = len(runs) + len(undone)
    told = f"{plural(of, 'scenario')}, all held" if not bad else f"{bad} of {of} did not hold"
    console.print(Text(told, style="bold green" if not bad else "bold red"))


def _print_quiet(console: Console, run: RunReport) -> None:
    line = Text.assemble(
        f"{run.name}: ", _word(run.verdict.status), f", {_size(run)}, seed {run.started.seed}"
    )
    console.print(line, soft_wrap=True)
    for result in run.verdict.results:
        if result.outcome.status is not Status.HELD:
            told = Text.assemble(
                f"  {result.label}: ", _word(result.outcome.status), f": {result.outcome.summary}"
            )
            console.print(told, soft_wrap=True)
    if run.verdict.status is not Status.HELD:
        _print_replay(console, run)


def _head(run: RunReport) -> Text:
    started = run.started
    head = Text.assemble(
        (run.name, "bold"), f"  seed {started.seed}, {started.time} time, broker {started.broker}"
    )
    if started.mutants:
        head.append(f", mutant {', '.join(started.mutants)}", style="yellow")
    if started.emulator:
        pace = ", in this machine's time: none of a chip's" if started.time == "real" else ""
        head.append(f"\nboards on {started.emulator}{pace}", "dim")
    head.append(f"\n{_size(run)}, {plural(run.totals.deaths, 'reported death')}, {_duration(run)}", "dim")
    return head


def _size(run: RunReport) -> str:
    totals = run.totals
    return ", ".join(
        (
            plural(totals.nodes, "node"),
            plural(totals.tasks, "task"),
            plural(totals.faults.total(), "fault"),
        )
    )


def _duration(run: RunReport) -> str:
    if run.wall_s is None or run.started.time == "real":
        return seconds(run.simulated_s)
    return f"{seconds(run.simulated_s)} in {seconds(run.wall_s)}"


def _word(status: Status) -> Text:
    return Text(WORD[status], style=STYLE[status])


def _expectations(results: Sequence[Result], most_columns: int | None) -> Table:
    """Return a row for each. `most_columns`: of a label, beyond which it is folded."""
    table = Table(box=None, pad_edge=False, show_header=False, expand=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", max_width=most_columns)
    table.add_column(overflow="fold")
    for result in results:
        table.add_row(
            _word(result.outcome.status), Text(result.label), Text(printable(result.outcome.summary))
        )
    return table


def _measured(measured: Sequence[tuple[Result, Measurement]], unit: str) -> Table:
    """Show measurements in one unit: all figures of the table are in the one that its head names."""
    of_column = ColumnUnit.of(unit, (d.figures().get("max", 0) for _, d in measured))
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(f"measured, in {of_column.name}", overflow="fold")
    # A bound that holds for a percentile is compared with that, and not with the worst.
    judged = any(d.percent < 100 and d.samples for _, d in measured)
    for heading in ("count", "min", "median", "max", *(["judged"] if judged else []), "bound"):
        table.add_column(heading, justify="right", no_wrap=True)
    for result, distribution in measured:
        figures = distribution.figures()
        over = distribution.bound is not None and (distribution.judged or 0) > distribution.bound
        values = [figures.get("min"), figures.get("median"), figures.get("max")]
        if judged:
            values.append(distribution.judged if distribution.percent < 100 else None)
        cells = [of_column.text(value) for value in (*values, distribution.bound)]
        name = Text.assemble((f"{result.name}: ", "dim"), distribution.name)
        table.add_row(name, f"{int(figures['count']):,}", *cells, style="red" if over else "")
    return table


def _print_why(console: Console, run: RunReport, result: Result, told_of: dict[tuple[str, ...], str]) -> None:
    """Print what led to it in words, then the first offending events, the very first with what happened
    around.

    Args:
        told_of: reasons that were told already, and of which expectation.
    """
    outcome = result.outcome
    reasons = why(run.events, result)
    if not reasons and not outcome.offending:
        return
    console.print(Text.assemble((result.label, "bold"), f": {outcome.summary}"))
    before = told_of.setdefault(tuple(reasons), result.label) if reasons else result.label
    for reason in reasons if before == result.label else [f"for the same reasons as {before}"]:
        console.print(Text(f"   {sentence(reason)}"), soft_wrap=True)
    if not outcome.offending:
        console.print()
        return
    first = outcome.offending[0]
    for event in window(run.events, first):
        mark, style = (">", STYLE[outcome.status]) if event is first else (" ", "dim")
        console.print(Text(f" {mark} {event_line(event)}", style=style), soft_wrap=True)
    others = outcome.offending[1:_SHOWN_FAILURES]
    if others:
        console.print(Text("   and", style="dim"))
        for event in others:
            console.print(Text(f" > {event_line(event)}", style=STYLE[outcome.status]), soft_wrap=True)
    hidden = len(outcome.offending) - 1 - len(others)
    if hidden > 0:
        console.print(Text(f"   and {hidden} more: see the HTML report", style="dim"))
    console.print()


def _print_replay(console: Console, run: RunReport) -> None:
    console.print(Text.assemble(("Again: ", "dim"), run.replay), soft_wrap=True)
