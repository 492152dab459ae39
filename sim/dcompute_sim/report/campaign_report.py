"""The outcome of many seeds on the terminal: how each expectation fared, the first seed that failed, and
why seeds are undecided."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import IO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dcompute.parts import noun
from dcompute_sim.campaign import Campaign, SeedResult, Untested
from dcompute_sim.checks.check import Status
from dcompute_sim.report.console import STYLE, WORD
from dcompute_sim.report.coverage_report import print_coverage
from dcompute_sim.report.text import plural, seconds

_SHOWN_SEEDS = 12
_SHOWN_REASONS = 10


def print_campaign(
    console: Console, name: str, campaign: Campaign, replay: Callable[[int], str], took_s: float
) -> None:
    """Print the outcome.

    Args:
        replay: gives the command that repeats one seed.
    """
    done = len(campaign.results)
    of = "" if done == campaign.planned else f" of {campaign.planned:,}"
    rate = f", {done / took_s:.0f} a second" if took_s else ""
    head = f": {done:,}{of} {noun(campaign.planned, 'seed')} in {seconds(took_s)}{rate}"
    console.print(Text.assemble((name, "bold"), head))
    console.print()
    console.print(_expectations(campaign))
    console.print()
    print_coverage(console, campaign.coverage())
    console.print()
    if failing := campaign.of(Status.FAILED):
        _print_failing(console, failing, replay)
    if undecided := campaign.undecided():
        _print_undecided(console, undecided, replay)
    console.print(_verdict(campaign))


def _expectations(campaign: Campaign) -> Table:
    """Return a row for each expectation."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    table.add_column("expectation", overflow="fold", max_width=40)
    for heading in ("held", "failed", "untested"):
        table.add_column(heading, justify="right", no_wrap=True)
    for label, tally in campaign.tallies().items():
        counts = [len(tally.seeds[status]) for status in (Status.HELD, Status.FAILED, Status.INCONCLUSIVE)]
        word = Text(WORD[tally.status], style=STYLE[tally.status])
        table.add_row(word, Text(label), *(f"{count:,}" for count in counts))
    return table


def _print_failing(console: Console, found: Sequence[SeedResult], replay: Callable[[int], str]) -> None:
    """Print what is wrong with the lowest of the failing seeds, and which others there are."""
    lowest = found[0]
    console.print(Text(f"Lowest failing seed: {lowest.seed}", style="bold"))
    for result in lowest.verdict.of(Status.FAILED):
        console.print(Text(f"  {result.label}: {result.outcome.summary}"), soft_wrap=True)
    console.print(Text.assemble(("Again: ", "dim"), replay(lowest.seed)), soft_wrap=True)
    if len(found) > 1:
        console.print(Text(f"Also failing: {_first([result.seed for result in found[1:]])}"), soft_wrap=True)
    console.print()


def _print_undecided(console: Console, groups: Sequence[Untested], replay: Callable[[int], str]) -> None:
    """Print what was left untested: by expectation and reason, with which seeds, and how to see one again."""
    console.print(Text("Undecided:", style="bold"))
    for group in groups[:_SHOWN_REASONS]:
        console.print(Text(f"  {group.label}: {group.why}"), soft_wrap=True)
        count = plural(len(group.seeds), "seed")
        console.print(Text(f"    {count} for this reason: {_first(group.seeds)}"), soft_wrap=True)
        console.print(Text.assemble(("    Again: ", "dim"), replay(group.seeds[0])), soft_wrap=True)
    if left := groups[_SHOWN_REASONS:]:
        seeds = plural(len({seed for group in left for seed in group.seeds}), "seed")
        console.print(Text(f"  and {plural(len(left), 'further reason')}, of {seeds}"))
    console.print()


def _first(seeds: Sequence[int]) -> str:
    more = ", ..." if len(seeds) > _SHOWN_SEEDS else ""
    return ", ".join(map(str, seeds[:_SHOWN_SEEDS])) + more


def _verdict(campaign: Campaign) -> Text:
    counts = ", ".join(
        f"{len(campaign.of(status)):,} {word}"
        for status, word in (
            (Status.HELD, "held"),
            (Status.FAILED, "failed"),
            (Status.INCONCLUSIVE, "left something untested"),
        )
    )
    status = campaign.status
    return Text.assemble((WORD[status], STYLE[status]), f": {counts} (exit status {campaign.exit_status})")


def progress(campaign: Campaign, took_s: float) -> str:
    """Say how far it is, as in `412/1,000 seeds, 61 a second, 10 s left, 0 failed`."""
    done = len(campaign.results)
    rate = done / took_s if took_s else 0.0
    left = f"{seconds((campaign.planned - done) / rate)} left" if rate else "starting"
    failed = len(campaign.of(Status.FAILED))
    return f"{done:,}/{plural(campaign.planned, 'seed')}, {rate:.0f} a second, {left}, {failed} failed"


class ProgressLine:
    """One line that is written over: how far, how fast, how long still. Silent unless `out` is a terminal.

    Args:
        now_s: a clock.
    """

    def __init__(self, out: IO[str], now_s: Callable[[], float]) -> None:
        self._out = out
        self._now_s = now_s
        self._began_s = now_s()
        self._shown = out.isatty()
        self._width = 0  # what has to be written over; by blanks, for NO_COLOR wants no escape at all

    def on_progress(self, campaign: Campaign) -> None:
        """Show where the campaign stands."""
        self.show(lambda took_s: progress(campaign, took_s))

    def show(self, told: Callable[[float], str]) -> None:
        """Show what `told` says after so many seconds."""
        if self._shown:
            line = told(self._now_s() - self._began_s)
            self._out.write(f"\r{line:<{self._width}}")
            self._out.flush()
            self._width = len(line)

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            self._out.write(f"\r{'':<{self._width}}\r")
            self._out.flush()
