"""`dcompute board`: a virtual board on a serial port, until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from sim.boards.board import VirtualBoard
from sim.boards.serial import Port, PtyPort, TcpPort
from sim.micropython.board import Board
from sim.micropython.errors import EmulatorUnavailable
from sim.micropython.flash import FirmwareError
from sim.micropython.provision import Emulator, provision

EXIT_USAGE, EXIT_MISSING = 2, 3

app = typer.Typer(help="A virtual ESP32 board on a serial port, for mpremote.")


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    port_file: Annotated[
        Path | None, typer.Option(help="Write the port's name here once the board is plugged in.")
    ] = None,
    tcp: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="A TCP port (0: a free one), no pseudo-terminal.")
    ] = None,
    flash_size: Annotated[str, typer.Option(help="Size of the filesystem, as in 512KiB or 2MiB.")] = "2MiB",
    root: Annotated[
        Path | None, typer.Option(file_okay=False, help="The folder that is the flash; default: a new one.")
    ] = None,
    broker: Annotated[
        str | None, typer.Option(help="HOST:PORT that this board reaches through its own fault proxy.")
    ] = None,
    baud: Annotated[int | None, typer.Option(min=300, help="Rate of the line; default: no limit.")] = None,
    noise: Annotated[float, typer.Option(min=0, max=1, help="Part of all bytes that is spoilt.")] = 0.0,
    heap_kib: Annotated[int, typer.Option(min=32, help="Heap of the firmware.")] = 256,
    mac: Annotated[str, typer.Option(help="The board's unique id.")] = "02:00:00:00:00:01",
) -> None:
    """Plug a virtual board in and serve it until Ctrl-C."""
    if context.invoked_subcommand is not None:
        return
    try:
        board = Board(bytes.fromhex(mac.replace(":", "")), (), heap_bytes=heap_kib * 1024)
        flash_bytes, address = parse_size(flash_size), parse_address(broker) if broker else None
        emulator = provision(lambda text: typer.echo(text, err=True))
    except (FirmwareError, ValueError) as error:
        _stop(str(error), EXIT_USAGE)
    except EmulatorUnavailable as error:
        _stop(str(error), EXIT_MISSING)
    port: Port = PtyPort() if tcp is None else TcpPort(tcp)
    with _flash_folder(root) as folder:
        made = _Made(emulator, board, folder, port, flash_bytes, baud, noise, address)
        try:
            asyncio.run(_serve(made, port_file))
        except OSError as error:
            _stop(f"the board's port could not be made: {error}", EXIT_MISSING)


class _Made:
    """What the options say, until there is a loop to make the board in."""

    def __init__(
        self,
        emulator: Emulator,
        board: Board,
        folder: Path,
        port: Port,
        flash_bytes: int,
        baud: int | None,
        noise: float,
        broker: tuple[str, int] | None,
    ) -> None:
        self._positional = (emulator, board, folder, port)
        self._named: dict[str, Any] = {
            "flash_bytes": flash_bytes,
            "baud": baud,
            "noise": noise,
            "broker": broker,
        }

    def board(self) -> VirtualBoard:
        return VirtualBoard(*self._positional, **self._named, watcher=_Log())


async def _serve(made: _Made, port_file: Path | None) -> None:
    over = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    board = made.board()
    try:
        await board.plug_in()
        typer.echo(board.address)
        if port_file is not None:
            _write_whole(port_file, board.address + "\n")
        await over.wait()
    finally:
        await board.close()
        if port_file is not None:
            port_file.unlink(missing_ok=True)


class _Log:
    """What befalls the board, on the error output."""

    def happened(self, name: str, fields: dict[str, Any]) -> None:
        if name == "reset":
            typer.echo(f"-- started, reset cause {fields['cause']}", err=True)
        elif name == "wlan":
            typer.echo(f"-- WLAN status {fields['status']}", err=True)
        elif name == "bootloader":
            typer.echo("-- the bootloader was asked for; a virtual board has none and goes on", err=True)
        elif name in ("power_on", "power_off", "crash"):
            typer.echo(f"-- {name.replace('_', ' ')} {fields.get('text', '')}".rstrip(), err=True)


def parse_size(text: str) -> int:
    """Bytes of `2MiB`, `512KiB` or `65536`."""
    found = re.fullmatch(r"(\d+)\s*(|KiB|MiB)", text.strip())
    if not found or int(found[1]) == 0:
        raise ValueError(f"--flash-size {text}: a whole number of bytes, KiB or MiB is wanted, as in 2MiB")
    return int(found[1]) * {"": 1, "KiB": 1024, "MiB": 1024 * 1024}[found[2]]


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or not 0 < int(port) < 65_536:
        raise ValueError(f"--broker {text}: HOST:PORT is wanted, as in 127.0.0.1:1883")
    return host, int(port)


@contextlib.contextmanager
def _flash_folder(root: Path | None) -> Any:
    if root is not None:
        root.mkdir(parents=True, exist_ok=True)
        yield root
        return
    with tempfile.TemporaryDirectory(prefix="dcompute-board-") as folder:
        yield Path(folder)


def _write_whole(path: Path, text: str) -> None:
    """Whoever waits for the file finds all of it."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text)
    os.replace(fresh, path)


def _stop(message: str, status: int) -> Any:
    typer.echo(message, err=True)
    raise typer.Exit(status)
