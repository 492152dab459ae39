"""`dcompute emulator ...`: set up the ESP32 emulator and look at it."""

from __future__ import annotations

import typer

from sim.micropython.cache import default_cache
from sim.micropython.errors import EmulatorUnavailable
from sim.micropython.provision import mpy_cross, provision

MISSING = 3  # exit status: something needed is missing on the machine

app = typer.Typer(
    help="The ESP32 emulator: MicroPython's unix port behind an ESP32's modules.", no_args_is_help=True
)


@app.command()
def setup() -> None:
    """Find or fetch all the emulator needs; nothing is installed into the system."""
    try:
        emulator = provision(typer.echo)
        typer.echo(f"MicroPython {'.'.join(map(str, emulator.version))} ({emulator.origin})")
        typer.echo(f"umqtt.simple in {emulator.umqtt}")
    except EmulatorUnavailable as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(MISSING) from None
    try:
        typer.echo(f"mpy-cross in {mpy_cross(typer.echo)}")
    except EmulatorUnavailable as error:
        typer.echo(f"no mpy-cross (optional; firmware then runs from source only): {error}")


@app.command()
def status() -> None:
    """Say what is there, without fetching anything."""
    try:
        emulator = provision(offline=True)
    except EmulatorUnavailable as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(MISSING) from None
    typer.echo(f"MicroPython {'.'.join(map(str, emulator.version))} ({emulator.origin}): {emulator.argv[-1]}")
    typer.echo(f"umqtt.simple: {emulator.umqtt}")
    typer.echo(f"cache: {default_cache()}")
