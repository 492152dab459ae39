"""The `dcompute` command. The testbed's part is loaded only when asked for, and only if installed."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from dcompute import __version__
from dcompute.master_transport import MasterNodeTransport
from dcompute.node_core import check_node_id
from dcompute.node_transport import ComputeNodeTransport
from dcompute.security import Tls
from dcompute.worker import Worker, load_handler

_PRODUCTION = ("node", "master", "update", "--version")
_TESTBED = "sim.commands"

Host = Annotated[str, typer.Option("--broker", help="Host name of the broker.")]
Port = Annotated[int, typer.Option(help="Port of the broker.")]
Username = Annotated[str | None, typer.Option(envvar="DCOMPUTE_USERNAME", help="MQTT user.")]
Ca = Annotated[Path | None, typer.Option("--ca", help="CA certificates to trust (PEM); switches TLS on.")]
Certificate = Annotated[Path | None, typer.Option("--cert", help="Our own certificate (PEM).")]
Key = Annotated[Path | None, typer.Option("--key", help="Its private key (PEM).")]
UseTls = Annotated[bool, typer.Option("--tls", help="TLS with the certificates the system trusts.")]
Keepalive = Annotated[int, typer.Option(min=1, max=65535, help="MQTT keepalive in seconds.")]
Namespace = Annotated[str, typer.Option(help="Common prefix of all topics.")]


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
    """From DCOMPUTE_PASSWORD or a prompt, never from the command line, where every process could read it."""
    if username is None:
        return None
    password = os.environ.get("DCOMPUTE_PASSWORD")
    if password is None:
        password = str(typer.prompt(f"Password of {username}", hide_input=True))
    return password


def _tls(use_tls: bool, ca: Path | None, certificate: Path | None, key: Path | None) -> Tls | None:
    return Tls(ca, certificate, key) if use_tls or ca or certificate else None


@app.command()
def node(
    handler: Annotated[str, typer.Option(help="package.module:function, called with each task (a dict).")],
    node_id: Annotated[str | None, typer.Option(help="Default: host name and slot.")] = None,
    broker: Host = "localhost",
    port: Port = 1883,
    username: Username = None,
    use_tls: UseTls = False,
    ca: Ca = None,
    cert: Certificate = None,
    key: Key = None,
    keepalive: Keepalive = 60,
    namespace: Namespace = "",
) -> None:
    """Run a compute node: call a function for each task and send back what it returns."""
    _log_to_stderr()
    sys.path.insert(0, os.getcwd())
    try:
        function = load_handler(handler)
        transport = ComputeNodeTransport(
            broker,
            port,
            node_id,
            username=username,
            password=password_for(username),
            tls=_tls(use_tls, ca, cert, key),
            keepalive=keepalive,
            namespace=namespace,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    try:
        if transport.start():
            typer.echo(f"node {transport.node_id} is ready at {broker}:{port}")
        Worker(transport, function).run()
    except KeyboardInterrupt:
        typer.echo(f"node {transport.node_id} is offline")
        raise typer.Exit(130) from None


@app.command()
def master(
    broker: Host = "localhost",
    port: Port = 1883,
    username: Username = None,
    use_tls: UseTls = False,
    ca: Ca = None,
    cert: Certificate = None,
    key: Key = None,
    keepalive: Keepalive = 60,
    namespace: Namespace = "",
) -> None:
    """Watch a fleet: print every node's status as it changes, deaths and results."""
    _log_to_stderr()

    def observe(event: str, fields: Any) -> None:
        if event in ("node_status_seen", "death_reported", "result_received"):
            words = " ".join(f"{key}={value}" for key, value in fields.items())
            typer.echo(f"{time.strftime('%H:%M:%S')} {event} {words}")

    try:
        transport = MasterNodeTransport(
            broker,
            port,
            username=username,
            password=password_for(username),
            tls=_tls(use_tls, ca, cert, key),
            keepalive=keepalive,
            namespace=namespace,
            observer=observe,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    with transport:
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None


@app.command()
def update(
    nodes: Annotated[list[str] | None, typer.Option("--node", help="Id of a board; may be repeated.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All boards whose program is in slots.")] = False,
    bundle: Annotated[
        Path | None, typer.Option(help="Folder with the new program; default: our own firmware.")
    ] = None,
    version: Annotated[str, typer.Option(help="Its name; default: from its contents.")] = "",
    confirm_s: Annotated[
        int, typer.Option("--confirm", min=10, max=3600, help="Seconds a board gives it to get ready.")
    ] = 120,
    key_file: Annotated[Path | None, typer.Option(help="File with the boards' UPDATE_KEY.")] = None,
    patience: Annotated[
        float, typer.Option(min=1, help="Seconds without progress until a board counts as failed.")
    ] = 300,
    broker: Host = "localhost",
    port: Port = 1883,
    username: Username = None,
    use_tls: UseTls = False,
    ca: Ca = None,
    cert: Certificate = None,
    key: Key = None,
    namespace: Namespace = "",
) -> None:
    """Bring boards to another version over the air.

    The key that signs it is the boards' UPDATE_KEY, from --key-file or the environment variable
    DCOMPUTE_UPDATE_KEY; without one it is sent unsigned. A board that does not get ready with the new version
    goes back to the one before. Exit status: 0 if all run the new version, 1 if one does not, 2 for a bundle
    or key that cannot be read.
    """
    from dcompute import update_command

    if every == bool(nodes):
        raise typer.BadParameter("say which boards: --node ID, as often as need be, or --all")
    try:
        new = update_command.read_bundle(bundle, version, confirm_s)
        secret = update_command.read_key(key_file, os.environ.get("DCOMPUTE_UPDATE_KEY"))
        transport = MasterNodeTransport(
            broker,
            port,
            username=username,
            password=password_for(username),
            tls=_tls(use_tls, ca, cert, key),
            namespace=namespace,
        )
        for node_id in nodes or ():
            check_node_id(node_id)
    except (ValueError, OSError) as error:
        raise typer.BadParameter(str(error)) from None
    try:
        if not transport.start():
            typer.echo(f"no connection to the broker at {broker}:{port}: {transport.last_error}", err=True)
            raise typer.Exit(1)
        done = update_command.run(transport, nodes or [], new, secret, typer.echo, patience)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    finally:
        transport.stop()
    raise typer.Exit(0 if done else 1)


def _log_to_stderr() -> None:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)


def _add_testbed() -> None:
    """Add the testbed's commands; a server that only runs nodes does not have them installed."""
    try:
        testbed: typer.Typer = importlib.import_module(_TESTBED).app
    except ModuleNotFoundError as error:
        typer.echo(
            f"The testbed is not installed (no module {error.name}), so only `node`, `master` and `update` "
            "are here: pip install 'dcompute[sim]'",
            err=True,
        )
        return
    app.registered_commands += [c for c in testbed.registered_commands if c not in app.registered_commands]
    app.registered_groups += [g for g in testbed.registered_groups if g not in app.registered_groups]


def main() -> None:
    """Entry point of the `dcompute` command."""
    if not sys.argv[1:2] or sys.argv[1] not in _PRODUCTION:
        _add_testbed()
    app()
