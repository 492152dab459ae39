"""The rows as a table for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dcompute_sim.brokers.conformance.result import PropertyOutcome, Row

_LOOKS = {
    PropertyOutcome.PASSED: "green",
    PropertyOutcome.WARNING: "yellow",
    PropertyOutcome.FAILED: "bold red",
    PropertyOutcome.NOT_APPLICABLE: "dim",
}


def print_table(rows: Sequence[Row], console: Console) -> None:
    table = Table(title="broker conformance", title_justify="left")
    table.add_column("property", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("measured")
    for row in rows:
        seen = Text(row.figure)
        if row.detail:
            seen.append(("; " if row.figure else "") + row.detail, style=_LOOKS[row.outcome])
        table.add_row(row.name, Text(row.outcome.value, style=_LOOKS[row.outcome]), seen)
    console.print(table)
    console.print(summary(rows))


def summary(rows: Sequence[Row]) -> str:
    counts = {outcome: sum(row.outcome is outcome for row in rows) for outcome in PropertyOutcome}
    return ", ".join(f"{count} {outcome.value}" for outcome, count in counts.items() if count)
