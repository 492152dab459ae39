"""Options that several commands share; a dataclass is a group of them (`dcompute.cli.grouped`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dcompute_sim.brokers.model.profiles import PROFILES
from dcompute_sim.brokers.names import KINDS
from dcompute_sim.commands.select import SelectedScenario, find_entries
from dcompute_sim.run import RunOptions
from dcompute_sim.terminal import Mode


class Time(StrEnum):
    """Which time a scenario runs in."""

    virtual = "virtual"
    real = "real"


class FirmwareTarget(StrEnum):
    """As what the firmware groups of a scenario run."""

    sim = "sim"
    emulator = "emulator"
    board = "board"


Names = Annotated[
    list[str] | None,
    typer.Argument(help="Scenario files, folders of them, or names of scenarios that ship with dcompute."),
]
TimeOption = Annotated[Time | None, typer.Option("--time", help="Instead of what the scenario says.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Instead of the scenario's own.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Another value for a key of the scenario, as fleet.esp.count=50; repeatable."),
]
Plain = Annotated[bool, typer.Option("--plain", help="No colour and no lines: for log files.")]


@dataclass(frozen=True)
class How:
    """How a scenario is run, over what it says itself, and which of its combinations."""

    target: Annotated[
        FirmwareTarget | None,
        typer.Option(
            "--target",
            help="What firmware groups run on: sim (virtual time), emulator (real time), board (hardware).",
        ),
    ] = None
    boards: Annotated[
        Path | None,
        typer.Option("--boards", help="Hardware map; by default boards.yaml beside the scenario."),
    ] = None
    broker: Annotated[
        str | None,
        typer.Option(
            help=f"Instead of what the scenario says. In virtual time a model of one: {', '.join(PROFILES)}. "
            f"In real time {', '.join(KINDS)}, or mqtt://host:port for one that runs."
        ),
    ] = None
    seed: Seed = None
    set_: Overrides = None
    only: Annotated[str, typer.Option(help="One combination of a matrix, by its name.")] = ""
    mutant: Annotated[
        list[str] | None,
        typer.Option(
            help="Give nodes or master a known fault, to see the checks notice; "
            "`dcompute list mutants` has their names."
        ),
    ] = None

    def options(self, time: Time | None = None, pcap: Path | None = None) -> RunOptions:
        """Return what a run takes; each scenario adds what is its own."""
        return RunOptions(
            time=time.value if time else None,
            broker=self.broker,
            seed=self.seed,
            target=self.target.value if self.target else None,
            boards=self.boards,
            mutants=tuple(self.mutant or ()),
            overrides=tuple(self.set_ or ()),
            pcap=pcap,
        )

    def entries(self, names: Sequence[str]) -> list[SelectedScenario]:
        """Return the scenarios meant by `names`."""
        return find_entries(names, self.set_ or (), self.only)


@dataclass(frozen=True)
class Reports:
    """Which reports are wanted, and where."""

    html: Annotated[Path | None, typer.Option(help="Write a page with the fleet through time.")] = None
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML, for build servers.")] = None
    json: Annotated[Path | None, typer.Option("--json", help="Write the verdict as JSON.")] = None
    perfetto: Annotated[Path | None, typer.Option(help="Write a timeline for ui.perfetto.dev.")] = None
    github: Annotated[
        bool, typer.Option("--github", help="Print GitHub annotations of what did not hold.")
    ] = False


@dataclass(frozen=True)
class Show:
    """How much is said, and how."""

    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="A line per run, and what went wrong.")] = False
    plain: Plain = False

    @property
    def mode(self) -> Mode:
        """In one word."""
        return "quiet" if self.quiet else "plain" if self.plain else "normal"
