"""Which faults hit nodes in which states, on the terminal."""

from __future__ import annotations

from collections.abc import Collection

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dcompute.parts import number_of
from dcompute_sim.checks.coverage import STATES, Coverage
from dcompute_sim.report.text import plural


def print_coverage(console: Console, coverage: Coverage, known: Collection[str] = ()) -> None:
    """Print how often each kind of fault hit a node in each state; a dash where it never did.

    Args:
        known: every kind there is, so that those never injected can be named.
    """
    if not coverage.kinds:
        console.print(Text(f"No fault hit a node in {plural(coverage.runs, 'run')}."))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("fault on a node that is", no_wrap=True)
    for state in STATES:
        table.add_column(_SHORT.get(state, state), justify="right", no_wrap=True)
    for kind in coverage.kinds:
        counts = [coverage.hits[kind, state] for state in STATES]
        table.add_row(kind, *(f"{count:,}" if count else "-" for count in counts))
    console.print(table)
    missing = len(coverage.never())
    if missing:
        told = (
            f"{missing} of {number_of(len(coverage.kinds) * (len(STATES) - 1), 'pair')} of "
            "fault and state never occurred."
        )
        console.print(Text(told, style="dim"))
    absent = [kind for kind in known if kind not in coverage.kinds]
    if absent:
        console.print(Text(f"Never injected: {', '.join(absent)}.", style="dim"))


_SHORT = {"disconnected": "lost", "connecting": "connect", "subscribing": "subscr", "publishing": "publish"}
