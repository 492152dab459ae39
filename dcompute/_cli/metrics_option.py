"""The option --metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from dcompute.metrics import Sample, Source, address_of, serve_metrics

Metrics = Annotated[
    str,
    typer.Option(
        metavar="[HOST:]PORT",
        help="Serve Prometheus metrics there; on loopback unless a host is named.",
    ),
]


@contextmanager
def metrics_of(address: str, source: Source, more: Callable[[], Iterable[Sample]] = tuple) -> Iterator[None]:
    """Serve metrics meanwhile, if there is an address for them. ValueError if that cannot be."""
    if not address:
        yield
        return
    try:
        host, port = address_of(address)
    except ValueError as error:
        raise ValueError(f"metrics: {error}") from None
    serving = serve_metrics(port, source, host=host, more=more)
    try:
        port = serving.__enter__()
    except OSError as error:
        raise ValueError(f"metrics: cannot listen on {host}:{port}: {error.strerror}") from None
    typer.echo(f"metrics at http://{host}:{port}/metrics", err=True)
    try:
        yield
    finally:
        serving.__exit__(None, None, None)
