"""`dcompute board`: virtual boards on serial ports, until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from dcompute.broker_url import BrokerUrl
from dcompute_sim.fwbuild.build_errors import FirmwareError
from dcompute_sim.micropython.board import DEFAULT_HEAP_BYTES, Board
from dcompute_sim.micropython.flash_folder import new_folder, remove_folder
from dcompute_sim.micropython.provision import Emulator, provision
from dcompute_sim.micropython.unavailable import EmulatorUnavailable
from dcompute_sim.virtual_boards import remote
from dcompute_sim.virtual_boards.serial import PtyPort, TcpPort
from dcompute_sim.virtual_boards.virtual_board import VirtualBoard
from dcompute_sim.whole_file import write_whole

EXIT_USAGE, EXIT_MISSING = 2, 3

app = typer.Typer(help="Virtual ESP32 boards on serial ports, for mpremote.")
app.command()(remote.do)


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    port_file: Annotated[
        Path | None,
        typer.Option(help="Write the ports' names here, a line each, once all boards are plugged in."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=200, help="How many boards.")] = 1,
    tcp: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65_535,
            help="TCP ports from this on (0: free ones), instead of pseudo-terminals.",
        ),
    ] = None,
    flash_size: Annotated[str, typer.Option(help="Size of the filesystem, as in 512KiB or 2MiB.")] = "2MiB",
    root: Annotated[
        Path | None,
        typer.Option(
            file_okay=False, help="The folder that is the flash (of several: their folders lie in it)."
        ),
    ] = None,
    broker: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="A broker that each board reaches through its own fault proxy: mqtt://host:port.",
        ),
    ] = None,
    baud: Annotated[
        int | None, typer.Option(min=300, help="Rate of the line, in baud; default: no limit.")
    ] = None,
    noise: Annotated[
        float, typer.Option(min=0, max=1, help="Share of all bytes that is spoilt, from 0 to 1.")
    ] = 0.0,
    heap_kib: Annotated[int, typer.Option(min=32, help="Heap of the firmware, in KiB.")] = DEFAULT_HEAP_BYTES
    // 1024,
    mac: Annotated[str, typer.Option(help="The first board's unique id; the next counts on.")] = (
        "02:00:00:00:00:01"
    ),
) -> None:
    """Plug virtual boards in and serve them until Ctrl-C."""
    if context.invoked_subcommand is not None:
        return
    try:
        kit = _Kit(
            [Board(uid, (), heap_bytes=heap_kib * 1024) for uid in parse_mac(mac, count)],
            _tcp_ports(tcp, count),
            parse_size(flash_size),
            _address_of(broker) if broker else None,
            baud,
            noise,
        )
    except (FirmwareError, ValueError) as error:
        _stop(str(error), EXIT_USAGE)
    _serve_until_interrupted(kit, root, port_file)


def _serve_until_interrupted(kit: _Kit, root: Path | None, port_file: Path | None) -> None:
    try:
        emulator = provision(lambda text: typer.echo(text, err=True))
    except EmulatorUnavailable as error:
        _stop(str(error), EXIT_MISSING)
    with _flash_folders(root, kit.boards) as folders:
        try:
            asyncio.run(_serve(lambda: kit.make(emulator, folders), port_file))
        except OSError as error:
            _stop(f"the board's port could not be made: {error}", EXIT_MISSING)


@dataclass(frozen=True)
class _Kit:
    """What the options say, until there is a loop to make the boards in."""

    boards: Sequence[Board]
    tcp_ports: Sequence[int | None]
    flash_bytes: int
    broker: tuple[str, int] | None
    baud: int | None
    noise: float

    def make(self, emulator: Emulator, folders: Sequence[Path]) -> list[VirtualBoard]:
        return [
            VirtualBoard(
                emulator,
                board,
                folder,
                PtyPort() if tcp_port is None else TcpPort(tcp_port),
                flash_bytes=self.flash_bytes,
                baud=self.baud,
                noise=self.noise,
                broker=self.broker,
                watcher=_Log(board.uid.hex() if len(folders) > 1 else ""),
            )
            for board, tcp_port, folder in zip(self.boards, self.tcp_ports, folders, strict=True)
        ]


async def _serve(make: Callable[[], list[VirtualBoard]], port_file: Path | None) -> None:
    over = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    boards = make()
    try:
        for board in boards:
            await board.plug_in()
        typer.echo(_ports(boards), nl=False)
        if port_file is None:
            await over.wait()
            return
        desk = remote.Desk(
            boards, remote.control_of(port_file), lambda: write_whole(port_file, _ports(boards).encode())
        )
        try:
            try:
                await desk.open()
            except OSError as error:  # as where the folder's name is longer than a socket's may be
                typer.echo(f"-- `dcompute board do` will not reach these boards: {error}", err=True)
            write_whole(port_file, _ports(boards).encode())
            await over.wait()
        finally:
            await desk.close()
            port_file.unlink(missing_ok=True)
    finally:
        for board in boards:
            await board.close()


def _ports(boards: Sequence[VirtualBoard]) -> str:
    return "".join(f"{board.address}\n" for board in boards)


class _Log:
    """What befalls a board, on the error output; `name` is said if there are several."""

    def __init__(self, name: str) -> None:
        self._name = name

    def happened(self, name: str, fields: dict[str, object]) -> None:
        if name == "reset":
            self._say(f"started, reset cause {fields['cause']}")
        elif name == "wlan":
            self._say(f"WLAN status {fields['status']}")
        elif name == "bootloader":
            self._say("the bootloader was asked for; a virtual board has none and goes on")
        elif name in ("power_on", "power_off", "crash"):
            self._say(f"{name.replace('_', ' ')} {fields.get('text', '')}".rstrip())

    def _say(self, text: str) -> None:
        typer.echo(f"-- {self._name} {text}" if self._name else f"-- {text}", err=True)


def parse_size(text: str) -> int:
    """Return the bytes of `2MiB`, `512KiB` or `65536`."""
    found = re.fullmatch(r"(\d+)\s*(|KiB|MiB)", text.strip())
    if not found or int(found[1]) == 0:
        raise ValueError(f"--flash-size {text}: a whole number of bytes, KiB or MiB is wanted, as in 2MiB")
    return int(found[1]) * {"": 1, "KiB": 1024, "MiB": 1024 * 1024}[found[2]]


def _address_of(url: str) -> tuple[str, int]:
    found = BrokerUrl.parse(url)
    return found.host, found.port


def _tcp_ports(first: int | None, count: int) -> list[int | None]:
    if not first:
        return [first] * count
    if first + count > 65_536:
        raise ValueError(f"--tcp {first}: {count} ports from there on are more than there are")
    return [first + number for number in range(count)]


def parse_mac(text: str, count: int) -> list[bytes]:
    """List `count` addresses from `02:00:00:00:00:01` on."""
    try:
        first = bytes.fromhex(text.replace(":", ""))
    except ValueError:
        first = b""
    if len(first) != 6:
        raise ValueError(f"--mac {text}: six bytes in hexadecimal are wanted, as in 02:00:00:00:00:01")
    start = int.from_bytes(first, "big")
    return [((start + number) % (1 << 48)).to_bytes(6, "big") for number in range(count)]


@contextlib.contextmanager
def _flash_folders(root: Path | None, boards: Sequence[Board]) -> Iterator[list[Path]]:
    with contextlib.ExitStack() as stack:
        if root is None:
            root = new_folder("board")
            stack.callback(remove_folder, root)
        folders = [root] if len(boards) == 1 else [root / board.uid.hex() for board in boards]
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        yield folders


def _stop(message: str, status: int) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(status)
