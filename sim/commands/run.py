"""`dcompute run`: run scenarios, show what happens, judge it, write reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sim.commands.status import FAILED, HELD, INVALID, explained
from sim.report.console import Mode, make_console, print_run, print_summary
from sim.report.live import LiveView
from sim.report.run import Run, replay_command
from sim.run import RunOptions, run_scenario
from sim.sabotage import SAFEGUARDS
from sim.scenario import Scenario, find, load_all
from sim.scenario.locate import shipped_folder
from sim.trace import RunStarted

TRACES = Path("runs")


class Time(StrEnum):
    virtual = "virtual"
    real = "real"


Names = Annotated[
    list[str] | None,
    typer.Argument(help="Scenario files, folders of them, or names of scenarios that ship with dcompute."),
]
TimeOption = Annotated[Time | None, typer.Option("--time", help="Over what the scenario says.")]
Broker = Annotated[
    str | None,
    typer.Option(
        help="embedded, mosquitto, model, amqtt-plain or mqtt://host:port, over what the scenario says."
    ),
]
Seed = Annotated[int | None, typer.Option(min=0, help="Over the scenario's own.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="Override, as fleet.esp.count=50.")]
Sabotage = Annotated[
    list[str] | None,
    typer.Option(help=f"Switch a safeguard off, to see the checks notice: {', '.join(SAFEGUARDS)}."),
]
TracePath = Annotated[Path | None, typer.Option("--trace", help="Where the trace goes; by default runs/.")]
Pcap = Annotated[Path | None, typer.Option(help="Write the packets of a virtual run (pcapng).")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="One line a run, and what went wrong.")]
Plain = Annotated[bool, typer.Option("--plain", help="No colour and no lines: for log files.")]


@dataclass(frozen=True)
class _Job:
    """A scenario to run, and how the user named it."""

    reference: str
    scenario: Scenario


def run(
    scenarios: Names = None,
    time: TimeOption = None,
    broker: Broker = None,
    seed: Seed = None,
    set_: Overrides = None,
    sabotage: Sabotage = None,
    trace: TracePath = None,
    pcap: Pcap = None,
    quiet: Quiet = False,
    plain: Plain = False,
) -> None:
    """Run scenarios and judge them. Exit status: 0 all held, 1 one did not, 2 undecided or invalid, 3
    something
    needed is missing on this machine."""
    mode: Mode = "quiet" if quiet else "plain" if plain else "normal"
    console = make_console(mode)
    with explained():
        jobs = find_jobs(scenarios or [], set_ or ())
        options = RunOptions(
            time=time.value if time else None,
            broker=broker,
            seed=seed,
            sabotage=tuple(sabotage or ()),
            overrides=tuple(set_ or ()),
            pcap=pcap,
        )
        runs = [_run_one(job, options, trace, console, mode) for job in jobs]
    if len(runs) > 1:
        print_summary(console, runs)
    raise typer.Exit(exit_status(runs))


def find_jobs(names: Sequence[str], overrides: Sequence[str]) -> list[_Job]:
    """The scenarios meant: files, all of a folder, or shipped ones by name (a matrix gives several)."""
    if not names:
        raise typer.BadParameter(f"name a scenario, such as {next(iter(sorted(_shipped())))}")
    jobs = []
    for name in names:
        path = Path(name)
        files = sorted(path.glob("*.yaml")) if path.is_dir() else [find(name)]
        if not files:
            raise typer.BadParameter(f"no scenario (*.yaml) in {name}")
        for file in files:
            reference = str(file) if path.is_dir() else name
            jobs += [_Job(reference, s) for s in load_all(file, overrides, variants=SAFEGUARDS)]
    return jobs


def _shipped() -> list[str]:
    return [path.stem for path in shipped_folder().glob("*.yaml")]


def _run_one(job: _Job, options: RunOptions, trace: Path | None, console: Console, mode: Mode) -> Run:
    path = trace or TRACES / f"{job.scenario.name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    live = LiveView(console, job.scenario.name, job.scenario.length_s)
    with path.open("wb") as sink:
        settings = RunOptions(
            reference=job.reference,
            time=options.time,
            broker=options.broker,
            seed=options.seed,
            sabotage=options.sabotage,
            overrides=options.overrides,
            sink=sink,
            listeners=() if mode == "quiet" else (live.on_event,),
            pcap=options.pcap,
        )
        if mode == "quiet":
            outcome = run_scenario(job.scenario, settings)
        else:
            with live:
                outcome = run_scenario(job.scenario, settings)
    started = outcome.trace.events[0]
    assert isinstance(started, RunStarted)
    finished = Run(
        outcome.trace.events,
        outcome.verdict,
        replay_command(started),
        outcome.wall_s,
        job.scenario.description,
    )
    print_run(console, finished, mode)
    if mode != "quiet":
        console.print(f"Trace: {path} (digest {outcome.trace.digest()[:16]})", soft_wrap=True)
    return finished


def exit_status(runs: Sequence[Run]) -> int:
    """0 all held, 1 one failed, else 2."""
    statuses = {run.verdict.exit_status for run in runs}
    return FAILED if FAILED in statuses else INVALID if INVALID in statuses else HELD
