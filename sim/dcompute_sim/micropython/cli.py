"""`dcompute emulator ...`: set up the ESP32 emulator and look at it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from dcompute_sim.fwbuild.build_errors import FirmwareError
from dcompute_sim.fwbuild.compile import compile_firmware
from dcompute_sim.micropython.address_space import can_fix_addresses
from dcompute_sim.micropython.board import DEFAULT_HEAP_BYTES, Board
from dcompute_sim.micropython.cache import default_cache
from dcompute_sim.micropython.compiled import shim_sources
from dcompute_sim.micropython.process import FirmwareProcess
from dcompute_sim.micropython.provision import Emulator, ask_again, mpy_cross, provision
from dcompute_sim.micropython.unavailable import EmulatorUnavailable

MISSING = 3  # exit status: something needed is missing on the machine

app = typer.Typer(
    help="The ESP32 emulator: MicroPython's unix port behind an ESP32's modules.", no_args_is_help=True
)


@app.command()
def setup() -> None:
    """Find or fetch all the emulator needs; nothing is installed into the system."""
    ask_again()
    emulator = _provision()
    typer.echo(str(emulator))
    typer.echo(f"umqtt.simple in {emulator.umqtt}")
    try:
        typer.echo(f"mpy-cross in {mpy_cross(typer.echo)}")
    except EmulatorUnavailable as error:
        typer.echo(f"no mpy-cross (optional; firmware then runs from source only): {error}")


@app.command()
def status() -> None:
    """Say what is there, without fetching anything."""
    emulator = _provision(offline=True)
    typer.echo(f"{emulator}: {emulator.argv[-1]}")
    typer.echo(f"umqtt.simple: {emulator.umqtt}")
    typer.echo(f"cache: {default_cache()}")
    if not can_fix_addresses():
        typer.echo(
            "addresses: random, for the system lets no process have fixed ones (personality(2)); a run in "
            "which a board's heap is full to the last block may not repeat exactly"
        )


@app.command()
def run(
    files: Annotated[list[Path], typer.Argument(help="Folders and files that go on the board.")],
    entry: Annotated[str | None, typer.Option(help="Program to run instead of main.py.")] = None,
    heap_kib: Annotated[int, typer.Option(help="Heap of the firmware, in KiB.")] = DEFAULT_HEAP_BYTES // 1024,
    mac: Annotated[str, typer.Option(help="The board's unique id.")] = "02:00:00:00:00:01",
) -> None:
    """Run firmware on an emulated board, in real time, until its program ends or Ctrl-C.

    A single file is the program. The WLAN accepts any name and password; config.py comes from the files.
    """
    if entry is None and len(files) == 1 and files[0].is_file():
        entry = files[0].name
    try:
        board = Board(bytes.fromhex(mac.replace(":", "")), files, entry=entry, heap_bytes=heap_kib * 1024)
        crashed = asyncio.run(_run(_provision(), board))
    except (FirmwareError, ValueError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    raise typer.Exit(1 if crashed else 0)


@app.command(name="compile")
def compile_(
    target: Annotated[Path, typer.Argument(help="Folder to write to; made if need be.")],
) -> None:
    """Compile dcompute's firmware for boards with little memory: copy the folder to the board as it is.

    config.py stays a file of its own, to be added beside the others.
    """
    try:
        written = compile_firmware(mpy_cross(typer.echo), target, built_in=shim_sources())
    except EmulatorUnavailable as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(MISSING) from None
    except (FirmwareError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    for path in written:
        typer.echo(f"{path.stat().st_size:6} {path.relative_to(target)}")


async def _run(emulator: Emulator, board: Board) -> bool:
    """Run until the program is over; whether it ended by an uncaught error."""
    console = _Console()
    process = FirmwareProcess(emulator, board, console)
    try:
        process.start()
        await console.over.wait()
    finally:
        process.close()
    return console.crashed


class _Console:
    """Shows what a board prints; what befalls it goes to the error output."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self.crashed = False

    def started(self, boot: int, reset_cause: int) -> None:
        if boot > 1:
            typer.echo(f"-- boot {boot}, reset cause {reset_cause}", err=True)

    def stopped(self, how: str) -> None:
        typer.echo(f"-- stopped: {how}", err=True)
        if how.startswith("died"):
            self.crashed = True
            self.over.set()

    def output(self, line: str) -> None:
        typer.echo(line)

    def event(self, name: str, fields: dict[str, object]) -> None:
        if name == "wlan":
            typer.echo(f"-- WLAN status {fields['status']}", err=True)
        elif name == "ended" or (name == "crash" and fields["thread"] == "main"):
            self.crashed = name == "crash"
            self.over.set()


def _provision(offline: bool = False) -> Emulator:
    try:
        return provision(typer.echo, offline=offline)
    except EmulatorUnavailable as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(MISSING) from None
