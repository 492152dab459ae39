"""Many runs of one scenario on the terminal: how each expectation fared, and which faults hit whom when."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sim.checks.base import Status
from sim.checks.campaign import Campaign
from sim.checks.coverage import STATES, Coverage
from sim.report import words
from sim.report.console import STYLE, WORD


def print_campaign(console: Console, campaign: Campaign) -> None:
    """Print a row for each expectation, and how to repeat the first run in which one failed."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    table.add_column("expectation", overflow="fold", max_width=40)
    for heading in ("held", "failed", "undecided"):
        table.add_column(heading, justify="right", no_wrap=True)
    for label, tally in campaign.tallies.items():
        table.add_row(
            Text(WORD[tally.status], style=STYLE[tally.status]),
            Text(label),
            f"{tally.held:,}",
            f"{tally.failed:,}",
            f"{tally.inconclusive:,}",
        )
    console.print(table)
    told = f": {words.plural(campaign.runs, 'run')} (exit status {campaign.exit_status})"
    console.print(Text.assemble((WORD[campaign.status], STYLE[campaign.status]), told))
    firsts = [tally.first_failed for tally in campaign.tallies.values() if tally.status is Status.FAILED]
    for first in dict.fromkeys(firsts):
        console.print(Text.assemble(("Again: ", "dim"), first), soft_wrap=True)


def print_coverage(console: Console, coverage: Coverage) -> None:
    """Print how often each kind of fault hit a node in each state; a dash where it never did."""
    if not coverage.kinds:
        console.print(Text(f"No fault hit a node in {words.plural(coverage.runs, 'run')}."))
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
            f"{missing} of {len(coverage.kinds) * (len(STATES) - 1)} pairs of fault and state never occurred."
        )
        console.print(Text(told, style="dim"))


_SHORT = {"disconnected": "lost", "connecting": "connect", "subscribing": "subscr", "publishing": "publish"}
