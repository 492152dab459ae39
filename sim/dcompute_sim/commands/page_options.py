"""Options of the commands that serve a web page."""

from __future__ import annotations

from typing import Annotated

import typer

from dcompute.metrics import address_of

Listen = Annotated[
    str,
    typer.Option(
        "--listen",
        metavar="[HOST:]PORT",
        help="Where the page is served; a free port of this machine when left out. Elsewhere than on "
        "loopback, whoever sees the traffic can read along.",
    ),
]


def listening(listen: str) -> tuple[str, int]:
    """Return host and port that `--listen` says. BadParameter if it says none."""
    if not listen:
        return "127.0.0.1", 0
    try:
        return address_of(listen)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--listen") from None
