"""What a person does to a virtual board that another process serves: its buttons, its cable and its air.

`dcompute board` listens on a Unix socket beside its port file; `dcompute board do ACTION FILE:N` talks to it.
One line of JSON each way: {"board": N, "do": ACTION, "value": bytes or null}, and {"error": text or ""}.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from dcompute_sim.virtual_boards.virtual_board import VirtualBoard

EXIT_FAILED, EXIT_USAGE = 1, 2
_PATIENCE_S = 30.0


class Action(StrEnum):
    """What there is to do; each is a method of VirtualBoard or of its link."""

    reset = "reset"
    power_off = "power-off"
    power_on = "power-on"
    power_fails = "power-fails"
    unplug = "unplug"
    plug_in = "plug-in"
    link_down = "link-down"
    link_up = "link-up"
    wifi_off = "wifi-off"
    wifi_on = "wifi-on"


class ActionRefused(RuntimeError):
    """It was not done; the message says why."""


async def _do(board: VirtualBoard, action: Action, value: int | None) -> None:
    match action:
        case Action.reset:
            board.reset()
        case Action.power_off:
            board.power_off()
        case Action.power_on:
            board.power_on()
        case Action.power_fails:
            board.fail_power_after(value)
        case Action.unplug:
            await board.unplug()
        case Action.plug_in if not board.powered:
            await board.plug_in()
        case Action.wifi_off | Action.wifi_on:
            board.radio(ap=action is Action.wifi_on)
        case Action.link_down | Action.link_up:
            if board.link is None:
                raise ActionRefused(
                    "this board has no link of its own: start it with --broker mqtt://HOST:PORT"
                )
            (board.link.down if action is Action.link_down else board.link.up)()


class Desk:
    """The listening end, beside the boards.

    Args:
        changed: called after each action; a board that was plugged in anew may have another port.
    """

    def __init__(self, boards: Sequence[VirtualBoard], path: Path, changed: Callable[[], None]) -> None:
        self._boards = boards
        self._path = path
        self._changed = changed
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        self._path.unlink(missing_ok=True)  # of a desk that was killed
        self._server = await asyncio.start_unix_server(self._serve, self._path)
        self._path.chmod(0o600)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            answer = await _answer(self._obey, await reader.readline())
            writer.write(json.dumps({"error": answer}).encode() + b"\n")
            await writer.drain()
        writer.close()

    async def _obey(self, order: dict[str, Any]) -> None:
        number, action, value = int(order["board"]), Action(order["do"]), order["value"]
        if not 1 <= number <= len(self._boards):
            raise ActionRefused(f"there is no board {number}: they are 1 to {len(self._boards)}")
        await _do(self._boards[number - 1], action, None if value is None else int(value))
        self._changed()


async def _answer(obey: Callable[[dict[str, object]], Awaitable[None]], line: bytes) -> str:
    """Return what went wrong, or nothing."""
    try:
        await obey(json.loads(line))
    except (ActionRefused, OSError) as error:
        return str(error)
    except (ValueError, KeyError, TypeError) as error:
        return f"not understood: {error!r}"
    return ""


def control_of(port_file: Path) -> Path:
    """Return the socket that belongs to a port file."""
    return port_file.with_name(f"{port_file.name}.control")


def ask(port_file: Path, number: int, action: Action, value: int | None = None) -> None:
    """Have it done by the process that serves the boards of `port_file`; ActionRefused if it was not."""
    order = {"board": number, "do": action.value, "value": value}
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(_PATIENCE_S)
            sock.connect(str(control_of(port_file)))
            sock.sendall(json.dumps(order).encode() + b"\n")
            with sock.makefile() as answers:
                error = json.loads(answers.readline())["error"]
    except OSError as failure:
        raise ActionRefused(
            f"no `dcompute board` serves {port_file}: {failure.strerror or failure}"
        ) from None
    except ValueError:
        raise ActionRefused(f"the `dcompute board` of {port_file} ended") from None
    if error:
        raise ActionRefused(str(error))


def do(
    action: Annotated[Action, typer.Argument(help="What to do.", show_choices=True)],
    board: Annotated[str, typer.Argument(metavar="FILE[:N]", help="The port file, and which of its boards.")],
    after: Annotated[
        int | None, typer.Option(min=0, help="power-fails: after so many more bytes written to the flash.")
    ] = None,
) -> None:
    """Do something to a virtual board served elsewhere: press reset, pull its cable, cut its power."""
    if (action is Action.power_fails) != (after is not None):
        typer.echo("power-fails needs --after BYTES, and nothing else takes it", err=True)
        raise typer.Exit(EXIT_USAGE)
    name, _, digits = board.rpartition(":")
    file, number = (name, int(digits)) if name and digits.isdigit() else (board, 1)
    try:
        ask(Path(file), number, action, after)
    except ActionRefused as error:
        typer.echo(f"{board}: {error}", err=True)
        raise typer.Exit(EXIT_FAILED) from None
