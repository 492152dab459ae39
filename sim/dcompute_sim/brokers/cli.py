"""`dcompute broker`: serve a broker, check one, keep a password file. Arguments in, text and status out."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import secrets
import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from typer.models import OptionInfo

from dcompute.broker_url import BrokerUrl
from dcompute.metrics import address_of
from dcompute.security import Tls, tls_context
from dcompute_sim.brokers import passwords
from dcompute_sim.brokers.access import UserRole
from dcompute_sim.brokers.broker_process import BrokerProcess
from dcompute_sim.brokers.conformance import (
    BrokerUnderTest,
    NotUsable,
    PropertyOutcome,
    Row,
    check,
    print_table,
    select,
)
from dcompute_sim.brokers.managed import ManagedBroker
from dcompute_sim.brokers.mosquitto import MosquittoBroker
from dcompute_sim.brokers.real_broker import BrokerError, BrokerMissing, BrokerSecurity
from dcompute_sim.terminal import make_console

app = typer.Typer(help="Serve an MQTT broker, or check any broker against what the transports rely on.")

EXIT_FAILED, EXIT_USAGE, EXIT_MISSING = 1, 2, 3
PASSWORD_VARIABLE = "DCOMPUTE_PASSWORD"

_ALIVE_POLL_S = 0.5


class BrokerKind(StrEnum):
    embedded = "embedded"
    model = "model"
    amqtt_plain = "amqtt-plain"
    mosquitto = "mosquitto"


def _file(help_text: str) -> OptionInfo:
    option: OptionInfo = typer.Option(exists=True, dir_okay=False, help=help_text)
    return option


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    kind: Annotated[
        BrokerKind, typer.Option(help="amqtt-plain is known to be faulty: for tests.")
    ] = BrokerKind.embedded,
    listen: Annotated[
        str,
        typer.Option(
            metavar="[HOST:]PORT", help="Where to listen; on loopback unless a host is named. 0: a free port."
        ),
    ] = "1883",
    password_file: Annotated[
        Path | None, _file("Only users in it may log in; `dcompute broker passwd` writes it.")
    ] = None,
    cert: Annotated[Path | None, _file("The broker's certificate (PEM): TLS.")] = None,
    key: Annotated[Path | None, _file("Its private key (PEM).")] = None,
    client_ca: Annotated[
        Path | None, _file("Whoever connects needs a certificate signed by one of these (PEM).")
    ] = None,
    acl_file: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="mosquitto's access rules; the others go by the roles in the password file.",
        ),
    ] = None,
    state: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Keep retained messages and sessions here.")
    ] = None,
) -> None:
    """Serve a broker until Ctrl-C."""
    if context.invoked_subcommand is not None:
        return
    try:
        host, port = address_of(listen)
    except ValueError as error:
        _stop(f"--listen {listen}: {error}", EXIT_USAGE)
    if state is not None and kind is BrokerKind.amqtt_plain:
        _stop("--state: plain amqtt keeps nothing over a restart", EXIT_USAGE)
    if (cert is None) != (key is None) or (client_ca is not None and cert is None):
        _stop("TLS needs both --cert and --key (--client-ca only adds to them)", EXIT_USAGE)
    if acl_file is not None and kind is not BrokerKind.mosquitto:
        _stop("--acl-file is for --kind mosquitto; others go by the roles in the password file", EXIT_USAGE)
    security = BrokerSecurity(password_file, cert, key, client_ca, acl_file)
    if state is not None and (state.is_dir() or not os.access(state.parent, os.W_OK)):
        _stop(f"--state {state}: cannot be written there", EXIT_MISSING)
    broker: ManagedBroker
    if kind is BrokerKind.mosquitto:
        broker = MosquittoBroker(security, host=host, port=port or None, state=state)
    else:
        broker = BrokerProcess(kind.value, security, host=host, port=port or None, state=state)
    try:
        asyncio.run(_serve(broker, "mqtts" if cert else "mqtt"))
    except BrokerMissing as error:
        _stop(error, EXIT_MISSING)
    except BrokerError as error:
        _stop(error, EXIT_FAILED)


async def _serve(broker: ManagedBroker, scheme: str) -> None:
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    await broker.start()
    try:
        typer.echo(f"{broker.name} listens on {scheme}://{broker.host}:{broker.port} (Ctrl-C ends it)")
        while not told.is_set():
            _ = broker.pid  # BrokerError once the process is gone
            try:
                await asyncio.wait_for(told.wait(), _ALIVE_POLL_S)
            except TimeoutError:
                continue
    finally:
        await broker.stop()


@app.command(name="check")
def check_command(
    url: Annotated[
        str, typer.Argument(help="mqtt://host:port or mqtt://user:password@host:port; mqtts:// for TLS")
    ],
    rows: Annotated[str | None, typer.Option(help="Only these, separated by commas.")] = None,
    connections: Annotated[int, typer.Option(min=1, help="How many clients connect at once.")] = 1_000,
    keepalive: Annotated[int, typer.Option(min=1, help="Of the clients that fall silent, in s.")] = 2,
    namespace: Annotated[str, typer.Option(help="Of your nodes: whether you may use its topics.")] = "",
    role: Annotated[
        UserRole,
        typer.Option(help="Of the user in the URL: asks only whether the access rules hold it to that."),
    ] = UserRole.ANY,
    ca: Annotated[Path | None, _file("CA certificates to trust (PEM) in place of the system's.")] = None,
    cert: Annotated[Path | None, _file("Our own certificate (PEM).")] = None,
    key: Annotated[Path | None, _file("Its private key (PEM).")] = None,
    one_by_one: Annotated[bool, typer.Option(help="Faults then cannot disturb other rows; slower.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
) -> None:
    """Run the conformance suite against a broker.

    Status: 0 it conforms (warnings say what to set), 1 it does not, 2 wrong usage, 3 not reachable. It keeps
    messages below the topic dcompute-check/ only, and clears that away. With --role it logs in under the
    user's own client id: a node that is connected as that user is thrown out for a moment. A password that is
    not in the URL is taken from DCOMPUTE_PASSWORD, or asked for.
    """
    names = None if rows is None else [name.strip() for name in rows.split(",") if name.strip()]
    try:
        address = BrokerUrl.parse(url)
        wanted = select(names)
        target = BrokerUnderTest(
            address.host,
            address.port,
            token=secrets.token_hex(4),
            username=address.username,
            password=_password_of(address),
            tls=tls_context(Tls(ca, cert, key)) if address.tls else None,
            keepalive_s=keepalive,
            connections=connections,
            namespace=namespace,
            role=role,
        )
    except (BrokerError, ValueError) as error:
        _stop(error, EXIT_USAGE)
    try:
        results = _checked(target, names, f"checking {address}", len(wanted), side_by_side=not one_by_one)
    except NotUsable as error:
        _stop(error, EXIT_MISSING)
    if as_json:
        report = {"broker": str(address), "rows": [dataclasses.asdict(row) for row in results]}
        typer.echo(json.dumps(report, indent=2))
    else:
        print_table(results, make_console())
    if any(row.outcome is PropertyOutcome.FAILED for row in results):
        raise typer.Exit(EXIT_FAILED)
    if not any(row.outcome in (PropertyOutcome.PASSED, PropertyOutcome.WARNING) for row in results):
        _stop("nothing was tested: no row named applies here", EXIT_USAGE)


def _checked(
    target: BrokerUnderTest, names: list[str] | None, doing: str, count: int, *, side_by_side: bool
) -> list[Row]:
    """Check the broker, and show on stderr how many of the `count` rows are done."""
    done: list[Row] = []
    with Console(stderr=True).status(doing) as line:

        def show(row: Row) -> None:
            done.append(row)
            line.update(f"{doing}: {len(done)} of {count}")

        return asyncio.run(check(target, names, show, side_by_side=side_by_side))


@app.command()
def passwd(
    file: Annotated[Path, typer.Argument(dir_okay=False, help="Created when it is not there.")],
    user: Annotated[str, typer.Argument(help="A node's is its id.")],
    role: Annotated[
        UserRole, typer.Option(help="What it may do; `any`: everything, on every topic.")
    ] = UserRole.NODE,
    namespace: Annotated[str, typer.Option(help="Of the topics of its role.")] = "",
) -> None:
    """Add a user to a broker's password file or change it. The password is asked for, or DCOMPUTE_PASSWORD.

    Our own brokers hold each user to its role; for mosquitto and others `dcompute acl` writes the rules.
    """
    password = os.environ.get(PASSWORD_VARIABLE)
    if password is None:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    try:
        passwords.set_user(file, user, password, role, namespace)
    except passwords.PasswordFileError as error:
        _stop(error, EXIT_USAGE)
    except OSError as error:
        _stop(f"{file} cannot be written: {error.strerror}", EXIT_MISSING)
    typer.echo(f"{file}: user {user} written, role {role}")


def _password_of(address: BrokerUrl) -> str | None:
    if address.username is None or address.password is not None:
        return address.password
    if (password := os.environ.get(PASSWORD_VARIABLE)) is not None:
        return password
    if not sys.stdin.isatty():
        raise BrokerError(f"{address}: no password in the URL, in {PASSWORD_VARIABLE} or at a terminal")
    answer: str = typer.prompt(f"Password of {address.username}", hide_input=True)
    return answer


def _stop(message: object, status: int) -> NoReturn:
    typer.echo(f"dcompute broker: {message}", err=True)
    raise typer.Exit(status)
