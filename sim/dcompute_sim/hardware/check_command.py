"""`dcompute board check PORT`: measure a board, print a table, save the record that scenarios can use."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table

from dcompute.parts import number_of
from dcompute_sim.hardware.hardware_map import LOOPBACK, BoardLocation
from dcompute_sim.output_files import OutputError, write_output
from dcompute_sim.scenario.board_record import BoardRecord, Figures
from dcompute_sim.terminal import make_console

EXIT_CANNOT, EXIT_MISSING = 2, 3


def check(
    port: Annotated[str, typer.Argument(help="Its serial port, such as /dev/ttyUSB0.")],
    out: Annotated[Path, typer.Option(help="Where the record goes.")] = Path("board.json"),
    host: Annotated[
        str | None, typer.Option(help="Address of this machine that the board sees; guessed when left out.")
    ] = None,
    broker: Annotated[str, typer.Option(help="embedded, mosquitto, model or mqtt://host:port.")] = "embedded",
    tasks: Annotated[int, typer.Option(min=10, help="How many tasks it is given.")] = 1000,
    baud: Annotated[int, typer.Option(min=300, help="Rate of the serial line, in baud.")] = 115_200,
    rts: Annotated[
        bool, typer.Option("--rts", help="Reset it by RTS, wired to EN, not at its prompt.")
    ] = False,
) -> None:
    """Measure a board that has dcompute's firmware; afterwards it is as it was.

    Exit status: 0 measured, 2 the board cannot be used, 3 something needed is missing on this machine.
    """
    from dcompute_sim.brokers.factory import make_broker
    from dcompute_sim.brokers.real_broker import BrokerError
    from dcompute_sim.hardware.board_errors import BoardError
    from dcompute_sim.hardware.survey import survey
    from dcompute_sim.interfaces.world import EngineError

    reset_by: Literal["repl", "rts"] = "rts" if rts else "repl"
    place = BoardLocation(port, host or own_address(port), baud, reset_by, 0)
    try:
        record = asyncio.run(
            survey(place, make_broker(broker), tasks, lambda text: typer.echo(text, err=True))
        )
    except (BoardError, EngineError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_CANNOT) from None
    except BrokerError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_MISSING) from None
    try:
        write_output(out, record.model_dump_json(indent=1) + "\n")
    except OutputError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_MISSING) from None
    make_console().print(table(record))
    typer.echo(f"Saved: {out} (in a scenario: `profile: {out.name}`)")


def own_address(port: str) -> str:
    """Return the address of this machine that a board on `port` most probably sees."""
    if port.startswith(("/dev/pts/", f"socket://{LOOPBACK}", "socket://localhost")):
        return LOOPBACK  # a virtual board
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing; the routing table names our side
        except OSError:
            return LOOPBACK
        return str(probe.getsockname()[0])


def table(record: BoardRecord) -> Table:
    """Return the record, for people."""
    rows = Table(box=None, pad_edge=False, show_header=False)
    rows.add_column(no_wrap=True)
    rows.add_column(justify="right", no_wrap=True)
    for name, value in (
        ("board", record.machine),
        ("MicroPython", record.micropython),
        ("heap", f"{record.heap_bytes:,} B"),
        ("free flash", f"{record.flash_free_bytes:,} B"),
        ("a turn of an empty loop", f"{record.loop_us:.2f} us"),
        ("Wi-Fi join", _spread(record.wifi_join_ms)),
        ("ready after a reset", f"{record.ready_after_reset_s:.2f} s"),
        ("MQTT round trip", _spread(record.round_trip_ms)),
        ("tasks", f"{record.tasks_per_s:,.1f} /s"),
        ("free heap before the tasks", f"{record.heap_free_before_bytes:,} B"),
        (f"free heap after {record.tasks:,}", f"{record.heap_free_after_bytes:,} B"),
        (f"will after a reset (keepalive {record.keepalive_s:g} s)", f"{record.will_after_reset_s:.2f} s"),
    ):
        rows.add_row(name, value)
    return rows


def _spread(figures: Figures) -> str:
    return (
        f"{figures.median:,.1f} ms ({figures.min:,.1f} to {figures.max:,.1f}, "
        f"{number_of(figures.count, 'time')})"
    )
