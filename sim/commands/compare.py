"""`dcompute compare`: one scenario in virtual and in real time, side by side."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer
from rich.console import Console

from sim.commands import options as o
from sim.commands.jobs import find_entries
from sim.commands.status import FAILED, HELD, explained
from sim.engines.virtual import KEEPALIVE_STEPS_S
from sim.report.compare import Sides, print_comparison
from sim.report.console import make_console
from sim.run import REAL_BROKER, VIRTUAL_BROKER, RunOptions, run_scenario
from sim.scenario import Scenario


def compare(
    scenario: Annotated[str, typer.Argument(help="A scenario file, or the name of one that ships.")],
    broker: o.Broker = None,
    seed: o.Seed = None,
    set_: o.Overrides = None,
    only: o.Only = "",
    sabotage: o.Sabotage = None,
    plain: o.Plain = False,
) -> None:
    """Run a scenario in virtual and in real time and compare verdicts and the times deaths took to be named.

    In virtual time the broker model looks for silent clients as coarsely as the real broker does. Exit
    status: 0 the verdicts agree, 1 they differ, 2 and 3 as of `run`.
    """
    console = make_console(o.console_mode(False, plain))
    options = RunOptions(
        seed=seed, sabotage=tuple(sabotage or ()), overrides=tuple(set_ or ()), reference=scenario
    )
    with explained():
        agree = [
            _compare(entry.scenario, options, broker, console)
            for entry in find_entries([scenario], set_ or (), only)
        ]
    raise typer.Exit(HELD if all(agree) else FAILED)


def _compare(scenario: Scenario, options: RunOptions, broker: str | None, console: Console) -> bool:
    named = broker or scenario.broker
    real_broker = REAL_BROKER if named == "auto" else named
    modelled = real_broker if real_broker in KEEPALIVE_STEPS_S else VIRTUAL_BROKER
    virtual = run_scenario(scenario, _with(options, "virtual", modelled))
    console.print(f"{scenario.name}: {scenario.length_s:g} s in real time, please wait", highlight=False)
    real = run_scenario(scenario, _with(options, "real", real_broker))
    sides = Sides(virtual.verdict, real.verdict, virtual.trace.started, real.trace.started)
    print_comparison(console, sides)
    return sides.agree


def _with(options: RunOptions, time: str, broker: str) -> RunOptions:
    return replace(options, time=time, broker=broker)
