"""Options written once for several commands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from dcompute._cli.options import grouped


@dataclass(frozen=True)
class Place:
    host: Annotated[str, typer.Option(help="Where it is.")] = "localhost"
    port: Annotated[int, typer.Option("--at", min=1)] = 1883


@grouped
def ping(
    context: typer.Context,
    names: Annotated[list[str], typer.Argument()],
    *,
    place: Place,
    often: Annotated[bool, typer.Option("--often")] = False,
) -> None:
    """Say hello."""
    typer.echo(f"{context.command.name} {names} {place.host}:{place.port} {often}")


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    app.command()(ping)
    return app


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("a",), "ping ['a'] localhost:1883 False"),
        (("a", "b", "--at", "5", "--often"), "ping ['a', 'b'] localhost:5 True"),
    ],
)
def test_a_command_gets_its_groups_whole(app: typer.Typer, words: tuple[str, ...], told: str) -> None:
    assert CliRunner().invoke(app, words).output.strip() == told


def test_each_field_is_an_option_where_its_group_stood(app: typer.Typer) -> None:
    command = typer.main.get_command(app)
    assert [parameter.name for parameter in command.params][:4] == ["names", "host", "port", "often"]
    assert command.help == "Say hello."


def test_a_field_is_checked_as_its_option_says(app: typer.Typer) -> None:
    assert CliRunner().invoke(app, ["a", "--at", "0"]).exit_code == 2
