"""`dcompute acl`: a broker's access rules, from a fleet file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dcompute.node_names import check_node_id
from dcompute_sim.brokers import passwords
from dcompute_sim.brokers.access import WRITERS, Grant, UserRole
from dcompute_sim.deploy.deploy_errors import INVALID, MISSING, InvalidInput
from dcompute_sim.deploy.fleet_file import FleetFile
from dcompute_sim.yamlfile.problems import LocatedError


class RulesFor(StrEnum):
    """Whose rules."""

    MOSQUITTO = "mosquitto"
    EMQX = "emqx"


def acl(
    fleet: Annotated[Path, typer.Argument(help="The fleet file (docs/hardware.md).", dir_okay=False)],
    rules_for: Annotated[
        RulesFor, typer.Option("--for", help="Which broker reads them (mosquitto: VerneMQ as well).")
    ] = RulesFor.MOSQUITTO,
    node: Annotated[
        list[str] | None, typer.Option(help="A further node, by its id: one on a server. Repeatable.")
    ] = None,
    master: Annotated[
        list[str] | None, typer.Option(help="User of a master; repeatable. Default: master.")
    ] = None,
    executor: Annotated[
        list[str] | None, typer.Option(help="User, and name, of a FleetExecutor; repeatable.")
    ] = None,
    namespace: Annotated[
        str | None, typer.Option(help="Of --node, --master, --executor. Default: the one of the boards.")
    ] = None,
    password_file: Annotated[
        Path | None,
        typer.Option(help="Write the boards' users and passwords into this file, too.", dir_okay=False),
    ] = None,
    secrets: Annotated[
        Path | None, typer.Option(help="NAME=value lines for ${NAME} in the fleet file.")
    ] = None,
) -> None:
    """Print a broker's access rules: each node may say its own status and results and hear its own topics.

    Everything else is denied. Each board needs a user of its own, named like it: `login: {password: ...}` in
    the fleet file. Exit status: 0, or 2 for input that makes no sense.
    """
    try:
        boards = FleetFile(fleet, secrets).logins()
        namespaces = list(dict.fromkeys(board.namespace for board in boards))
        if namespace is None and len(namespaces) > 1:
            raise InvalidInput(f"{fleet}: boards in several namespaces: say which with --namespace")
        below = namespaces[0] if namespace is None else namespace
        named = {
            UserRole.NODE: node or [],
            UserRole.MASTER: master or ["master"],
            UserRole.EXECUTOR: executor or [],
        }
        grants = [Grant(board.node_id, UserRole.NODE, board.namespace) for board in boards]
        grants += [Grant(check_node_id(user), role, below) for role, users in named.items() for user in users]
        users = [grant.user for grant in grants]
        if twice := sorted({user for user in users if users.count(user) > 1}):
            raise InvalidInput(f"{', '.join(twice)}: named twice; each program needs a user of its own")
        if password_file is not None:
            for board in boards:
                passwords.set_user(
                    password_file, board.node_id, board.password, UserRole.NODE, board.namespace
                )
    except (InvalidInput, LocatedError, passwords.PasswordFileError, ValueError) as error:
        typer.echo(f"dcompute acl: {error}", err=True)
        raise typer.Exit(INVALID) from None
    except OSError as error:
        typer.echo(f"dcompute acl: {password_file} cannot be written: {error.strerror}", err=True)
        raise typer.Exit(MISSING) from None
    typer.echo(WRITERS[rules_for](grants), nl=False)
