"""The outcome of a hunt on the terminal: what was seen, what is left to be seen, and what failed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dcompute.parts import number_of
from dcompute_sim.checks.coverage import Coverage
from dcompute_sim.faults import KINDS, NodeFault
from dcompute_sim.hunt.estimate import WINDOW, Estimate
from dcompute_sim.hunt.features import END, MISHAP, PATH, STEP, never_soon
from dcompute_sim.hunt.hunter import Finding, Hunt
from dcompute_sim.report.coverage_report import print_coverage
from dcompute_sim.report.text import plural, seconds
from dcompute_sim.scenario.swarm import kinds_of

_SHOWN_PAIRS = 6
_ABOUT = {
    STEP: "events of node, broker or master of which one followed the other",
    PATH: "two or three of them, with the faults going on",
    MISHAP: "faults in a row, by state and time between",
    END: "connections of a node in a row, by how they ended",
}


def print_hunt(
    console: Console, hunt: Hunt, why: str, took_s: float, files: Sequence[tuple[Finding, Path, bool]]
) -> None:
    """Print the outcome.

    Args:
        why: it is over.
        files: of each finding, and whether it failed alike when run from there.
    """
    head = f": {plural(hunt.runs, 'run')} in {seconds(took_s)}, {_rate(hunt, took_s)}; {why}"
    console.print(Text.assemble((hunt.scenario.name, "bold"), head), soft_wrap=True)
    console.print()
    console.print(_seen(hunt))
    console.print()
    console.print(Text(f"The last new step came in run {hunt.newest_step:,} of {hunt.runs:,}."))
    console.print(
        Text(
            f"That the next run shows a new step: {_chances(hunt.steps)}. Anything new at all: "
            f"{_chances(hunt.anything)}."
        ),
        soft_wrap=True,
    )
    console.print()
    print_coverage(console, Coverage(hunt.hits, hunt.runs))
    _print_never(console, hunt)
    console.print()
    for number, (finding, path, again) in enumerate(files, 1):
        _print_finding(console, number, finding, path, again)
    console.print(_verdict(hunt), soft_wrap=True)


def _seen(hunt: Hunt) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("seen")
    table.add_column("different", justify="right", no_wrap=True)
    table.add_column("which are")
    for level, about in _ABOUT.items():
        table.add_row(f"{level}s", f"{hunt.shown(level):,}", about)
    return table


def _chances(estimate: Estimate) -> str:
    """Say the chances, as in `0.9 % (a fresh seed 0.4 %, a bred run 1.4 %)`; before they can be told, `not
    known yet (a fresh seed 12 %, a bred run: after 400 of them, 31 so far)`."""
    of_fresh = f"a fresh seed {_percent(estimate.of_fresh)}"
    of_bred = f"a bred run {_percent(estimate.of_bred)}"
    if estimate.of_bred is None:
        of_bred = f"a bred run: after {WINDOW} of them, {estimate.bred_runs} so far"
    return f"{_percent(estimate.chance)} ({of_fresh}, {of_bred})"


def _percent(share: float | None) -> str:
    if share is None:
        return "not known yet"
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.1f} %"


def _print_never(console: Console, hunt: Hunt) -> None:
    assert hunt.scenario.random is not None
    kinds = [kind for kind in kinds_of(hunt.scenario.random) if issubclass(KINDS[kind], NodeFault)]
    never = never_soon(hunt.corpus.shown, kinds)
    if never:
        named = ", ".join(f"{second} after {first}" for first, second in never[:_SHOWN_PAIRS])
        more = ", ..." if len(never) > _SHOWN_PAIRS else "."
        told = (
            f"Never within seconds on one node: {len(never)} of "
            f"{number_of(len(kinds) ** 2, 'pair')}: {named}{more}"
        )
        console.print(Text(told, style="dim"), soft_wrap=True)


def _print_finding(console: Console, number: int, finding: Finding, path: Path, again: bool) -> None:
    console.print(Text(f"Finding {number}, run {finding.number}", style="bold red"))
    failure = finding.failure
    console.print(Text(f"  {failure.label}: {failure.summary}"), soft_wrap=True)
    for other in finding.others:
        console.print(Text(f"  {other.label}: {other.summary}"), soft_wrap=True)
    if finding.times > 1:
        console.print(Text(f"  {plural(finding.times, 'run')} failed alike"))
    if again:
        console.print(Text.assemble(("Again: ", "dim"), f"dcompute run {path}"), soft_wrap=True)
    else:
        console.print(Text(f"  run from {path} alone it does not fail the same way"), soft_wrap=True)
    console.print()


def _verdict(hunt: Hunt) -> Text:
    word, style = ("FAILED", "bold red") if hunt.findings else ("held", "green")
    if not hunt.findings and hunt.undecided == hunt.runs:  # also when there was none
        word, style = "undecided", "bold yellow"
    return Text.assemble(
        (word, style),
        f": {plural(len(hunt.findings), 'finding')}; {hunt.failed:,} of {plural(hunt.runs, 'run')} failed, "
        f"{hunt.undecided:,} left something untested",
    )


def hunt_progress(hunt: Hunt, took_s: float) -> str:
    """Say how far it is, as in `1,204 runs, 31 a second, 1,613 steps, chance of a new one 12 %, 1
    finding`."""
    return (
        f"{plural(hunt.runs, 'run')}, {_rate(hunt, took_s)}, {plural(hunt.shown(STEP), 'step')}, "
        f"chance of a new one {_percent(hunt.steps.chance)}, {plural(len(hunt.findings), 'finding')}"
    )


def _rate(hunt: Hunt, took_s: float) -> str:
    """Say the rate, as in `31 a second` or, where that would be none, `12 a minute`."""
    rate = hunt.runs / max(took_s, 1e-3)
    return f"{rate:,.0f} a second" if rate >= 10 else f"{60 * rate:,.0f} a minute"
