"""Options that several commands share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sim.report.console import Mode
from sim.sabotage import SAFEGUARDS


class Time(StrEnum):
    """Which time a scenario runs in."""

    virtual = "virtual"
    real = "real"


class Target(StrEnum):
    """As what the firmware groups of a scenario run."""

    sim = "sim"
    emulator = "emulator"
    board = "board"


Names = Annotated[
    list[str] | None,
    typer.Argument(help="Scenario files, folders of them, or names of scenarios that ship with dcompute."),
]
TimeOption = Annotated[Time | None, typer.Option("--time", help="Over what the scenario says.")]
TargetOption = Annotated[
    Target | None,
    typer.Option(
        "--target",
        help="As what the firmware groups run: sim (virtual time), emulator (real time), board (hardware).",
    ),
]
Boards = Annotated[
    Path | None,
    typer.Option("--boards", help="Hardware map; by default boards.yaml beside the scenario."),
]
Broker = Annotated[
    str | None,
    typer.Option(
        help="embedded, mosquitto, model, amqtt-plain or mqtt://host:port, over what the scenario says."
    ),
]
Seed = Annotated[int | None, typer.Option(min=0, help="Over the scenario's own.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="Override, as fleet.esp.count=50.")]
Only = Annotated[str, typer.Option(help="One combination of a matrix, by its name.")]
Sabotage = Annotated[
    list[str] | None,
    typer.Option(help=f"Switch a safeguard off, to see the checks notice: {', '.join(SAFEGUARDS)}."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="One line a run, and what went wrong.")]
Plain = Annotated[bool, typer.Option("--plain", help="No colour and no lines: for log files.")]
Html = Annotated[Path | None, typer.Option(help="Write a page with the fleet through time.")]
Junit = Annotated[Path | None, typer.Option(help="Write JUnit XML, for build servers.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write the verdict as JSON.")]
Perfetto = Annotated[Path | None, typer.Option(help="Write a timeline for ui.perfetto.dev.")]
Github = Annotated[bool, typer.Option("--github", help="Print GitHub annotations of what did not hold.")]


@dataclass(frozen=True)
class Reports:
    """Which reports are wanted, and where."""

    html: Path | None = None
    junit: Path | None = None
    json: Path | None = None
    perfetto: Path | None = None
    github: bool = False


def console_mode(quiet: bool, plain: bool) -> Mode:
    """How much is said, and how."""
    return "quiet" if quiet else "plain" if plain else "normal"
