"""`dcompute run --page`: one run, shown as a web page while it goes on."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import Annotated

import typer
from rich.console import Console

from dcompute_sim.commands.page_options import Listen, listening
from dcompute_sim.commands.run_many import Done, PlannedRun, carry_out, show_run
from dcompute_sim.run import planned
from dcompute_sim.terminal import Mode


@dataclass(frozen=True)
class PageWanted:
    """Whether a page shows the run while it goes on."""

    page: Annotated[
        bool,
        typer.Option(
            "--page", help="Show the run as a web page while it goes on, and after; Ctrl-C ends it."
        ),
    ] = False
    pace: Annotated[
        str,
        typer.Option(
            "--pace",
            help="With --page, in virtual time: how many seconds of the run in one, as 10x; 0 stops.",
        ),
    ] = ""
    listen: Listen = ""


def run_with_page(plan: PlannedRun, wanted: PageWanted, console: Console, mode: Mode) -> Done:
    """Run it beside a page, which stays until Ctrl-C."""
    from dcompute_sim.brokers.model.broker_history import BrokerHistory
    from dcompute_sim.page.live_page import LivePage, pace_of
    from dcompute_sim.page.pace import Pacer
    from dcompute_sim.page.page_server import serving
    from dcompute_sim.page.shown_run import Facts

    scenario, started = plan.entry.scenario, planned(plan.entry.scenario, plan.options)
    host, port = listening(wanted.listen)
    try:
        pacer = Pacer(pace_of(wanted.pace or "inf")) if started.time == "virtual" else None
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--pace") from None
    if pacer is None and wanted.pace:
        raise typer.BadParameter("in real time a second takes a second", param_hint="--pace")
    history = None if pacer is None else BrokerHistory()
    live = LivePage(Facts(plan.label, scenario.description, started), scenario.length_s, pacer, history)
    listeners = [*([pacer.on_event] if pacer is not None else []), live.events.append]
    with serving(live.site, host, port, live.turn) as server:
        typer.echo(f"Page: {server.address}")
        options = replace(plan.options, attend=live.attend, broker_history=history)
        plan = replace(plan, options=options)
        done = carry_out(plan, listeners)
        live.over(done.run)
        show_run(console, mode, done)
        try:
            typer.echo("The page stays; Ctrl-C ends.")
            threading.Event().wait()
        except KeyboardInterrupt:
            return done
    return done
