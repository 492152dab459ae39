"""`dcompute compare`: one scenario in virtual time and in another, or two saved traces, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from dcompute.cli import grouped
from dcompute_sim.brokers.model.profiles import PROFILES
from dcompute_sim.checks.verdict import judge
from dcompute_sim.commands import options as o
from dcompute_sim.commands.select import SelectedScenario, entry_of
from dcompute_sim.commands.status import FAILED, HELD, explained
from dcompute_sim.report.comparison import Side, Sides, print_comparison
from dcompute_sim.run import REAL_BROKER, VIRTUAL_BROKER, RunOutcome, run_scenario
from dcompute_sim.terminal import make_console
from dcompute_sim.trace import read

_TRACE_ENDING = ".jsonl"


@grouped
def compare(
    what: Annotated[
        list[str],
        typer.Argument(help="A scenario (a file, or the name of one that ships); or two saved traces."),
    ],
    how: o.How,
    plain: o.Plain = False,
) -> None:
    """Set two runs of a scenario side by side: verdicts, times until deaths were named, what came of faults.

    A scenario is run in virtual and in real time; with --target, as a simulation and on that target. Two
    traces are judged by what their scenario expects today. In virtual time the broker model looks for silent
    clients as coarsely as the real broker does. Exit status: 0 the verdicts agree, 1 they differ, 2 and 3 as
    of `run`.
    """
    console = make_console(o.Show(plain=plain).mode)
    with explained():
        if any(name.endswith(_TRACE_ENDING) for name in what):
            all_sides = [_saved([Path(name) for name in what])]
        else:
            if len(what) > 1:
                raise typer.BadParameter("one scenario, or two traces (*.jsonl)")
            all_sides = [_run(entry, how, console) for entry in how.entries(what)]
    for sides in all_sides:
        print_comparison(console, sides)
    raise typer.Exit(HELD if all(sides.agree for sides in all_sides) else FAILED)


def _saved(paths: Sequence[Path]) -> Sides:
    if len(paths) != 2:
        raise typer.BadParameter(f"two traces are compared, not {len(paths)}")
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise typer.BadParameter(f"no such file: {', '.join(missing)}")
    traces = [read(path) for path in paths]
    starts = [trace.started for trace in traces]
    one, other = ((s.scenario, s.variation) for s in starts)
    if one != other:
        raise typer.BadParameter(f"these are of two scenarios: {' '.join(one)} and {' '.join(other)}")
    names: list[str] = [start.target or start.time for start in starts]
    if names[0] == names[1]:
        names = [path.stem for path in paths]
    expect = entry_of(starts[0]).scenario.expect
    left, right = (
        Side(name, judge(expect, trace.events), trace.events)
        for name, trace in zip(names, traces, strict=True)
    )
    return Sides(left, right)


def _run(entry: SelectedScenario, how: o.How, console: Console) -> Sides:
    scenario = entry.scenario
    named = how.broker or scenario.broker
    real_broker = REAL_BROKER if named == "auto" else named
    modelled = real_broker if real_broker in PROFILES else VIRTUAL_BROKER
    options = replace(how.options(), reference=entry.reference, variation=entry.variation, boards=None)
    if how.target is None:
        first, second = replace(options, time="virtual"), replace(options, time="real")
    else:
        first, second = replace(options, target="sim"), replace(options, boards=entry.boards(how.boards))
    left = run_scenario(scenario, replace(first, broker=modelled))
    if how.target is not o.FirmwareTarget.sim:
        console.print(f"{scenario.name}: {scenario.length_s:g} s in real time, please wait", highlight=False)
    right = run_scenario(scenario, replace(second, broker=real_broker))
    return Sides(_side(left), _side(right))


def _side(outcome: RunOutcome) -> Side:
    name = outcome.options.target or outcome.options.time or ""
    return Side(name, outcome.verdict, outcome.trace.events)
