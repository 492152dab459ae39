"""`dcompute deploy`: put firmware onto boards, look at them, take it back."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from dcompute.bundle import CONFIRM_S
from dcompute.cli import grouped
from dcompute.update_keys import UpdateKeys
from dcompute_sim.deploy.board_config import DeployTarget
from dcompute_sim.deploy.deploy_errors import INVALID, InvalidInput, SomethingMissing
from dcompute_sim.deploy.deploy_options import (
    BrokerAt,
    DryRun,
    Program,
    Seconds,
    Timeout,
    Waiting,
    Which,
    to_stderr,
)
from dcompute_sim.deploy.deployment import READY_S, Deployment, Options
from dcompute_sim.deploy.firmware import pack as pack_firmware
from dcompute_sim.deploy.follow import Follower
from dcompute_sim.deploy.progress import Progress, for_all, label, status_of
from dcompute_sim.deploy.ready_watch import ReadySeen, Watchers
from dcompute_sim.deploy.selection import parse_watchpoint
from dcompute_sim.deploy.state import ASKED, LOOKED, asked_row, looked_row
from dcompute_sim.hardware.board_errors import BoardError
from dcompute_sim.micropython.provision import umqtt
from dcompute_sim.terminal import make_console
from dcompute_sim.yamlfile.problems import LocatedError

app = typer.Typer(
    help="Firmware onto boards over their serial ports: deploy, status, rollback, logs, monitor."
)


@app.callback(invoke_without_command=True)
@grouped
def deploy(
    context: typer.Context,
    *,
    which: Which,
    config: Annotated[
        Path | None,
        typer.Option(help="config.py for boards without a fleet file. Default: what they have."),
    ] = None,
    program: Program,
    confirm: Annotated[int, typer.Option(help="Seconds a board gives a new version.")] = CONFIRM_S,
    timeout: Timeout = READY_S,
    waiting: Waiting,
    key_file: Annotated[
        Path | None,
        typer.Option(
            envvar="DCOMPUTE_UPDATE_KEYS",
            help="The secret for updates over the air, made if there is none; each board gets its own key.",
        ),
    ] = None,
    rekey: Annotated[
        bool, typer.Option("--rekey", help="Give each board a new key: the one it has may have leaked.")
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Put a version onto boards, side by side, and see it come up; a board that does not goes back.

    What lies on a board already is not copied again. The version goes into a slot that nothing boots from,
    one rename switches to it, and the board is restarted. Exit status: 0 all boards run it, 1 one does not
    (and was rolled back), 2 the input is wrong, 3 a port, a broker or a program is missing.
    """
    if context.invoked_subcommand is not None:
        return
    with _explained():
        made = program.gather(confirm)
        targets = which.targets(made, config)
        options = waiting.options(
            ready_s=timeout, dry_run=dry_run, umqtt=_umqtt_files, keys=_keys(key_file, rekey), rekey=rekey
        )
        _on_all(targets, options, lambda deployment: deployment.deploy(made))


@app.command()
@grouped
def rollback(
    *,
    which: Which,
    timeout: Timeout = READY_S,
    waiting: Waiting,
    dry_run: DryRun = False,
) -> None:
    """Go back to the version that each board ran before."""
    with _explained():
        options = waiting.options(ready_s=timeout, dry_run=dry_run)
        _on_all(which.targets(), options, Deployment.rollback)


@app.command()
@grouped
def status(
    *,
    which: Which,
    look: Annotated[
        bool,
        typer.Option(
            "--look",
            help="Look at the flash as well: stops the board's program for that, and restarts the board.",
        ),
    ] = False,
    waiting: Waiting,
) -> None:
    """Say what each board runs, as the broker has heard it of the board; no board is disturbed.

    What only its flash can tell (what it can go back to, how much room there is) is had by --look.
    """
    with _explained():
        targets = which.targets()
        options = waiting.options()
        with _watchers() as watchers:
            results = for_all(
                targets,
                Progress(Console(stderr=True, quiet=True), targets),
                lambda target, say: (
                    Deployment(target, options, watchers, say).look()
                    if look
                    else Deployment(target, options, watchers, say).ask()
                ),
            )
        table = Table(*(LOOKED if look else ASKED), box=None)
        for target, result in results:
            match result:
                case ReadySeen():
                    table.add_row(*asked_row(target, result))
                case (board, seen, known):
                    table.add_row(*looked_row(target, board, seen, known))
        if table.row_count:
            _console().print(table)
        _end(results)


@app.command()
@grouped
def logs(
    *,
    which: Which,
    reset: Annotated[bool, typer.Option("--reset", help="Restart the boards first.")] = False,
    seconds: Seconds = None,
) -> None:
    """Show what boards print, until Ctrl-C. They are not disturbed."""
    with _explained():
        Follower(which.targets(), _line).run(seconds, reset=reset)


@app.command()
@grouped
def monitor(
    *,
    which: Which,
    broker: BrokerAt = None,
    seconds: Seconds = None,
) -> None:
    """Show what boards print beside what the broker knows of them, live, until Ctrl-C."""
    with _explained():
        targets = which.targets()
        points = {target.watch for target in targets if target.watch is not None}
        if broker:
            points = {parse_watchpoint(broker)}
        if not points:
            raise typer.BadParameter("a fleet file or --broker mqtt://HOST:PORT must say where the broker is")
        follower = Follower(targets, _line)
        watchers = Watchers(follower.news)
        try:
            for point in points:
                watchers.at(point)
            follower.run(seconds, reset=False)
        finally:
            watchers.close()


@app.command()
@grouped
def pack(
    *,
    target: Annotated[Path, typer.Argument(help="Folder to write to; made if need be.")],
    program: Program,
) -> None:
    """Write a version as a folder with its sha256 sums; `--firmware` refuses it once it was changed."""
    with _explained():
        made = program.gather()
        for path in pack_firmware(made, target):
            typer.echo(f"{path.stat().st_size:6} {path.relative_to(target)}")
        typer.echo(f"version {made.name}")


def _on_all(targets: Sequence[DeployTarget], options: Options, work: Callable[[Deployment], Any]) -> None:
    console = _console()
    with _watchers() as watchers:
        results = for_all(
            targets,
            Progress(console, targets),
            lambda target, say: work(Deployment(target, options, watchers, say)),
        )
    for target, result in results:
        if not isinstance(result, BoardError):
            console.print(
                f"{label(target)}: {result.version}: {result.detail}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
    _end(results)


def _end(results: Sequence[tuple[DeployTarget, object]]) -> None:
    """Say what failed, and exit with the status of it all."""
    for target, result in results:
        if isinstance(result, BoardError):
            prefix = "" if target.port in str(result) else f"{target.port}: "
            typer.echo(f"{label(target)}: {prefix}{result}" if target.name else f"{prefix}{result}", err=True)
    if status := status_of(results):
        raise typer.Exit(status)


def _keys(file: Path | None, rekey: bool) -> UpdateKeys | None:
    if file is None:
        if rekey:
            raise InvalidInput(
                "--rekey needs --key-file, or DCOMPUTE_UPDATE_KEYS: where the new keys are kept"
            )
        return None
    try:
        if file.exists():
            return UpdateKeys.read(file)
    except (OSError, ValueError) as error:
        raise InvalidInput(str(error)) from None
    try:
        made = UpdateKeys.create(file)
    except OSError as error:
        raise SomethingMissing(f"{file} cannot be written: {error.strerror}") from None
    to_stderr(f"{file} is new: it proves updates to these boards. Keep it, and keep it to yourself.")
    return made


def _umqtt_files() -> dict[str, bytes]:
    folder = umqtt(to_stderr)
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in (folder / "umqtt").glob("*.py")
    }


def _console() -> Console:
    return make_console(file=sys.stdout)


def _line(text: str) -> None:
    typer.echo(text)


@contextlib.contextmanager
def _watchers() -> Iterator[Watchers]:
    watchers = Watchers()
    try:
        yield watchers
    finally:
        watchers.close()


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """End the command on errors that a user can mend with a message and a status, not with a traceback."""
    try:
        yield
    except LocatedError as error:
        to_stderr(str(error))
        raise typer.Exit(INVALID) from None
    except BoardError as error:
        to_stderr(str(error))
        raise typer.Exit(error.status) from None
    except KeyboardInterrupt:
        to_stderr("interrupted")
        raise typer.Exit(130) from None
