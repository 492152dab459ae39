"""Options written once for several commands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from dcompute.options import grouped


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


def call(*words: str) -> str:
    app = typer.Typer()
    app.command()(ping)
    return CliRunner().invoke(app, words).output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("a",), "ping ['a'] localhost:1883 False"),
        (("a", "b", "--at", "5", "--often"), "ping ['a', 'b'] localhost:5 True"),
    ],
)
def test_a_command_gets_its_groups_whole(words: tuple[str, ...], told: str) -> None:
    assert call(*words).strip() == told


def test_typer_sees_each_field_as_an_option_where_its_group_stood() -> None:
    shown = call("--help")
    places = [shown.index(word) for word in ("Say hello.", "--host", "--at", "--often")]
    assert places == sorted(places)
    assert "Where it is." in shown
    assert "x>=1" in call("a", "--at", "0").replace("\u2502", " ")
