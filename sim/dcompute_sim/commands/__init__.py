"""The testbed's part of the `dcompute` command: `app` is all of it, `app_for` what one command line asks for.

Each command is imported when it is asked for. All of them together take three times as long as the one that
is typed, and a program that starts `dcompute` often, such as a shell's completion or a build server, waits
for that each time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer

app: typer.Typer
"""All commands. Made when it is first wanted."""

_COMMANDS = (
    *("run", "report", "compare", "at", "view", "hunt", "shrink"),
    *("explain", "list", "new", "schema", "acl"),
)
_GROUPS = ("board", "broker", "deploy", "emulator")


def app_for(word: str) -> typer.Typer:
    """Return an application with the command that `word` names, or with all if it names none."""
    known = word in (*_COMMANDS, *_GROUPS)
    made = typer.Typer()
    for name in _COMMANDS:
        if name == word or not known:
            made.command(name)(_command(name))
    for name in _GROUPS:
        if name == word or not known:
            made.add_typer(_group(name), name=name)
    return made


def _command(name: str) -> Callable[..., None]:
    """Import a command."""
    match name:
        case "run":
            from dcompute_sim.commands.run_command import run

            return run
        case "report":
            from dcompute_sim.commands.report_command import report

            return report
        case "compare":
            from dcompute_sim.commands.compare_command import compare

            return compare
        case "at":
            from dcompute_sim.commands.at_command import at

            return at
        case "view":
            from dcompute_sim.commands.view_command import view

            return view
        case "hunt":
            from dcompute_sim.commands.hunt_command import hunt

            return hunt
        case "shrink":
            from dcompute_sim.commands.shrink_command import shrink

            return shrink
        case "explain":
            from dcompute_sim.commands.scenario_commands import explain

            return explain
        case "list":
            from dcompute_sim.commands.list_command import list_

            return list_
        case "new":
            from dcompute_sim.commands.scenario_commands import new

            return new
        case "schema":
            from dcompute_sim.commands.scenario_commands import schema

            return schema
        case "acl":
            from dcompute_sim.deploy.acl_command import acl

            return acl
    raise AssertionError(name)


def _group(name: str) -> typer.Typer:
    """Import a group of commands."""
    match name:
        case "board":
            from dcompute_sim.commands.board_group import board

            return board
        case "broker":
            from dcompute_sim.brokers.cli import app

            return app
        case "deploy":
            from dcompute_sim.deploy.cli import app as deploy

            return deploy
        case "emulator":
            from dcompute_sim.micropython.cli import app

            return app
    raise AssertionError(name)


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = made = app_for("")
    return made
