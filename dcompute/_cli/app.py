"""The `dcompute` command. The testbed's part is loaded only when asked for, and only if installed."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from dcompute import __version__
from dcompute._cli.metrics_option import Metrics
from dcompute._cli.options import grouped
from dcompute._cli.update_options import Versions, Waves
from dcompute._log import printable
from dcompute.broker_url import BadBrokerUrl, BrokerUrl
from dcompute.events import DeathReported, MasterEvent, NodeStatusSeen, ResultReceived
from dcompute.extras import install_command
from dcompute.master_transport import MasterNodeTransport
from dcompute.protocol import PATIENCE_S
from dcompute.security import Tls

_PRODUCTION = ("node", "master", "update", "submit", "map", "top", "--version")
_TESTBED = "dcompute_sim.commands"


class Isolation(StrEnum):
    """Where a node's work is done."""

    THREAD = "thread"
    PROCESS = "process"


@dataclass(frozen=True)
class Connection:
    """How the broker is reached, and as whom. BadParameter for a URL that is none."""

    broker: Annotated[
        str,
        typer.Option(
            "--broker", metavar="URL", help="mqtt://host:port or mqtt://user@host:port; mqtts:// for TLS."
        ),
    ] = "mqtt://localhost:1883"
    username: Annotated[
        str | None, typer.Option(envvar="DCOMPUTE_USERNAME", help="MQTT user, if the URL names none.")
    ] = None
    ca: Annotated[
        Path | None, typer.Option("--ca", help="CA certificates to trust (PEM) in place of the system's.")
    ] = None
    cert: Annotated[Path | None, typer.Option("--cert", help="Our own certificate (PEM).")] = None
    key: Annotated[Path | None, typer.Option("--key", help="Its private key (PEM).")] = None
    keepalive: Annotated[int, typer.Option(min=1, max=65535, help="MQTT keepalive in seconds.")] = 60
    namespace: Annotated[str, typer.Option(help="Common prefix of all topics.")] = ""

    def settings(self) -> dict[str, Any]:
        """Tell what a transport takes; asks for the password if there is to be one."""
        url = self.url
        username = url.username or self.username
        return {
            "broker_host": url.host,
            "broker_port": url.port,
            "username": username,
            "password": password_for(username),
            "tls": Tls(self.ca, self.cert, self.key) if url.tls else None,
            "keepalive": self.keepalive,
            "namespace": self.namespace,
        }

    @property
    def url(self) -> BrokerUrl:
        """Where the broker is."""
        try:
            url = BrokerUrl.parse(self.broker)
        except BadBrokerUrl as error:
            raise typer.BadParameter(str(error), param_hint="--broker") from None
        if url.password is not None:
            raise typer.BadParameter(
                "a command line is no place for a password, every process can read it: leave it out of the "
                "URL and set DCOMPUTE_PASSWORD, or type it when asked",
                param_hint="--broker",
            )
        if (self.ca or self.cert or self.key) and not url.tls:
            raise typer.BadParameter("certificates are for TLS: write mqtts://", param_hint="--broker")
        return url


@dataclass(frozen=True)
class TaskOptions:
    """How tasks are to be done."""

    priority: Annotated[int, typer.Option(min=1, max=10, help="10 is the most urgent.")] = 5
    where: Annotated[
        list[str] | None, typer.Option(help="What a node must announce, as key=value; repeatable.")
    ] = None
    timeout: Annotated[float | None, typer.Option(help="Seconds after which it is of no use.")] = None
    retries: Annotated[int | None, typer.Option(min=0, help="Further attempts.")] = None
    once: Annotated[bool, typer.Option("--once", help="Never run it twice.")] = False
    journal: Annotated[Path | None, typer.Option(help="A file, to go on after a kill.")] = None


app = typer.Typer(
    no_args_is_help=True,
    help="Prioritised tasks for microcontrollers over MQTT, and the testbed that proves it.",
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


def password_for(username: str | None) -> str | None:
    """Take the password from DCOMPUTE_PASSWORD or a prompt, never from the command line, where every process
    could read it."""
    if username is None:
        return None
    password = os.environ.get("DCOMPUTE_PASSWORD")
    if password is None:
        password = str(typer.prompt(f"Password of {username}", hide_input=True))
    return password


@app.command()
@grouped
def node(
    *,
    handler: Annotated[
        str, typer.Option(help="package.module:function, called with each task (a dict).")
    ] = "",
    functions: Annotated[
        list[str] | None,
        typer.Option(help="A module whose functions are called by name; repeatable."),
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Tasks at a time.")] = 1,
    isolation: Annotated[
        Isolation,
        typer.Option(
            help="Where the work is done: in a thread of this process, or in one that can be ended."
        ),
    ] = Isolation.THREAD,
    time_limit: Annotated[
        float | None, typer.Option(min=0.1, help="With --isolation process: seconds after which it is ended.")
    ] = None,
    drain: Annotated[float, typer.Option(min=0, help="Seconds for what is at work, on SIGTERM.")] = 30.0,
    node_id: Annotated[str | None, typer.Option(help="Default: host name and slot.")] = None,
    metrics: Metrics = "",
    connection: Connection,
) -> None:
    """Run a compute node: call a function for each task and send back what it returns.

    On SIGTERM it finishes what is at work and gives the rest back.
    """
    from dcompute._cli import node as node_command

    _log_to_stderr()
    sys.path.insert(0, os.getcwd())
    work = node_command.NodeWork(
        handler, functions or [], concurrency, isolation.value, time_limit, drain, metrics
    )
    try:
        status = node_command.run(work, node_id, connection.settings(), typer.echo)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    raise typer.Exit(status)


@app.command()
@grouped
def master(connection: Connection) -> None:
    """Watch a fleet: print every node's status as it changes, deaths and results."""
    _log_to_stderr()

    def observe(event: MasterEvent) -> None:
        match event:
            case NodeStatusSeen(node_id, status, inc):
                words = f"{node_id}: {status} inc={inc}"
            case DeathReported(node_id, inc, cause):
                words = f"{node_id}: died, cause={cause} inc={inc}"
            case ResultReceived(node_id, task_id, value):
                words = f"{node_id}: result task={task_id} value={value}"
            case _:
                return
        typer.echo(f"{time.strftime('%H:%M:%S')} {printable(words)}")

    try:
        transport = MasterNodeTransport(observer=observe, **connection.settings())
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    with transport:
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None


@app.command()
@grouped
def submit(
    function: Annotated[str, typer.Argument(help="Name of a function that nodes know.")],
    arguments: Annotated[list[str] | None, typer.Argument(help="Its arguments, as JSON (or text).")] = None,
    *,
    options: TaskOptions,
    connection: Connection,
) -> None:
    """Have one function called by some node, and print its result as JSON.

    Exit status: 0 with a result, 1 without.
    """
    from dcompute._cli import work

    options_given = vars(options)
    with _explained():
        settings = connection.settings()
        raise typer.Exit(work.submit(settings, function, arguments or [], options_given, typer.echo))


@app.command("map")
@grouped
def map_lines(
    tasks: Annotated[Path, typer.Argument(help="Lines of JSON: a list of arguments, or a task.")],
    *,
    function: Annotated[str, typer.Option(help="Called with each list of arguments.")] = "",
    metrics: Metrics = "",
    options: TaskOptions,
    connection: Connection,
) -> None:
    """Have many tasks done by the fleet, and print their results in order, a line of JSON each.

    A line is `{"result": ...}` or `{"error": ..., "message": ...}`. With --journal the same command, started
    again after a kill, goes on where it was. Exit status: 0 if all have results, 1 if one has not.
    """
    from dcompute._cli import work

    with _explained():
        settings, given = connection.settings(), vars(options) | {"metrics": metrics}
        raise typer.Exit(work.map_lines(settings, tasks, function, given, typer.echo))


@app.command()
@grouped
def top(
    *,
    once: Annotated[bool, typer.Option("--once", help="Print it once, after a few seconds.")] = False,
    metrics: Metrics = "",
    connection: Connection,
) -> None:
    """Show the fleet and the queues, live.

    Each node, its status and what it announces; each executor, and how many of its tasks wait, are at nodes
    and are done.
    """
    from dcompute._cli.top import top as show

    with _explained():
        raise typer.Exit(show(connection.settings(), once, metrics, typer.echo))


@app.command()
@grouped
def update(
    *,
    nodes: Annotated[list[str] | None, typer.Option("--node", help="Id of a board; may be repeated.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All boards of the key file.")] = False,
    versions: Versions,
    waves: Waves,
    key_file: Annotated[
        Path,
        typer.Option(envvar="DCOMPUTE_UPDATE_KEYS", help="The keys that `dcompute deploy` gave the boards."),
    ],
    patience: Annotated[
        float, typer.Option(min=1, help="Seconds without progress until a board counts as failed.")
    ] = PATIENCE_S,
    connection: Connection,
) -> None:
    """Bring boards to another version over the air: all at once, or canaries first and then in waves.

    Each board takes it only under a key of its own, which `dcompute deploy --key-file` has given it over the
    serial line. A board that does not get ready with the new version goes back to the one before. Exit
    status: 0 if all run the new version, 1 if one does not, 2 for what cannot be read or makes no sense, 3 if
    --state cannot be written: what is under way then ends by itself, and the same command goes on from there.
    """
    from dcompute._cli import update as update_command

    if every == bool(nodes):
        raise typer.BadParameter("say which boards: --node ID, as often as need be, or --all")
    try:
        prepared = update_command.prepare(
            versions, waves, key_file, None if every else nodes, connection.namespace
        )
        transport = MasterNodeTransport(**connection.settings())
    except (ValueError, OSError) as error:
        raise typer.BadParameter(str(error)) from None
    if waves.dry_run:
        prepared.preview(typer.echo)
        return
    runner = update_command.Runner(
        transport, prepared, typer.echo, back=versions.back, patience_s=patience, state=waves.state
    )
    try:
        if not transport.start():
            typer.echo(f"no connection to the broker at {connection.url}: {transport.last_error}", err=True)
            raise typer.Exit(1)
        done = runner.run()
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except update_command.Unkept as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(3) from None
    except (ValueError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    finally:
        transport.stop()
    raise typer.Exit(0 if done else 1)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """End the command with a sentence and status 2 where a user can mend it (a file, an option, a
    journal)."""
    from dcompute.executor import JournalError

    try:
        yield
    except (ValueError, OSError, JournalError) as error:
        raise typer.BadParameter(printable(str(error))) from None


def _log_to_stderr() -> None:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)


def _add_testbed(word: str) -> None:
    """Add the testbed's command of this name, or all; a server that only runs nodes has none installed."""
    try:
        testbed: typer.Typer = importlib.import_module(_TESTBED).app_for(word)
    except ModuleNotFoundError as error:
        typer.echo(
            f"The testbed is not installed (no module {error.name}), so only `node`, `master` and `update` "
            f"are here: {install_command('sim')}",
            err=True,
        )
        return
    app.registered_commands += [c for c in testbed.registered_commands if c not in app.registered_commands]
    app.registered_groups += [g for g in testbed.registered_groups if g not in app.registered_groups]


def loaded() -> Callable[[], object]:
    """Load what the words of the command line ask for; what is returned carries it out."""
    if os.environ.get("NO_COLOR"):
        os.environ["TERM"] = "dumb"  # help and errors are rich's, which keeps bold and dim under NO_COLOR
    word = sys.argv[1] if sys.argv[1:] else ""
    if word not in _PRODUCTION:
        _add_testbed(word)
    return typer.main.get_command(app)
