"""Prometheus metrics of executors, masters and nodes, by prometheus_client (the extra `metrics`).

    from dcompute import FleetExecutor
    from dcompute.metrics import serve_metrics

    with FleetExecutor() as fleet, serve_metrics(9400, fleet):
        ...

What is counted is what `counters()` of each says: nothing is kept twice, and nothing is measured unless
somebody asks. On loopback unless told otherwise: it tells who works for whom, and asks nobody for a password.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from dcompute.extras import install_command

LOOPBACK = "127.0.0.1"
_OLDEST = (0, 19)  # from which on the server can be stopped

Sample = tuple[str, str, Mapping[str, str], float]
"""Name without `dcompute_`, help, labels, value. A name that ends in `_total` only grows."""


class Source(Protocol):
    """What has counters: an executor, a master, a node."""

    def counters(self) -> dict[str, int]:
        """Counts by name."""


# What of the counters may fall, and what each is. The others only grow.
_GAUGES = {
    "waiting": "tasks that wait for a node",
    "at_nodes": "tasks that nodes have",
    "nodes": "nodes that are there",
    "tasks_waiting": "tasks that wait at the node",
    "messages_held": "messages that wait for the broker",
}


def samples_of(source: Source) -> Iterator[Sample]:
    """Return the counters of an executor, a master or a node, as samples."""
    kind, labels = _kind(source)
    for name, value in source.counters().items():
        if name in _GAUGES:
            yield f"{kind}_{name}", f"{kind}: {_GAUGES[name]}", labels, value
        else:
            yield f"{kind}_{name}_total", f"{kind}: {name.replace('_', ' ')} so far", labels, value


def _kind(source: Source) -> tuple[str, dict[str, str]]:
    for kind, name in (("executor", "name"), ("node", "node_id")):
        if hasattr(source, name):
            return kind, {kind: str(getattr(source, name))}
    return "master", {}


@contextmanager
def serve_metrics(
    port: int,
    *sources: Source,
    host: str = LOOPBACK,
    more: Callable[[], Iterable[Sample]] = tuple,
) -> Iterator[int]:
    """Serve the metrics over HTTP meanwhile.

    Args:
        port: 0 for any; what it is is given to the `with`.
        sources: whose counters.
        host: where to listen; loopback unless named.
        more: further samples, asked for each time.

    Raises:
        ValueError: prometheus_client is not there, or too old; it says what to install.
        OSError: it cannot listen there.
    """
    library = _library()

    class Collector(library.registry.Collector):  # type: ignore[name-defined, misc]
        def collect(self) -> Iterator[Any]:
            families: dict[str, Any] = {}
            for name, text, labels, value in [
                *(s for source in sources for s in samples_of(source)),
                *more(),
            ]:
                if name not in families:
                    total = name.endswith("_total")
                    made = library.core.CounterMetricFamily if total else library.core.GaugeMetricFamily
                    families[name] = made(f"dcompute_{name}", text, labels=list(labels))
                families[name].add_metric(list(labels.values()), value)
            yield from families.values()

    registry = library.CollectorRegistry()
    registry.register(Collector())
    server, thread = library.start_http_server(port, addr=host, registry=registry)
    try:
        yield int(server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _library() -> Any:
    """Import prometheus_client. ValueError if it is of no use."""
    try:
        import prometheus_client
        import prometheus_client.core
        import prometheus_client.registry
    except ImportError:
        raise ValueError(f"metrics need prometheus_client: {install_command('metrics')}") from None
    from importlib.metadata import version

    found = version("prometheus_client")
    if tuple(int(part) for part in found.split(".")[:2]) < _OLDEST:
        needed = ".".join(map(str, _OLDEST))
        raise ValueError(
            f"metrics need prometheus_client {needed} or newer, not {found}: {install_command('metrics')}"
        )
    return prometheus_client


def address_of(text: str) -> tuple[str, int]:
    """Return (host, port) of `9400`, `0.0.0.0:9400` or `[::]:9400`. ValueError for anything else."""
    host, colon, port = text.rpartition(":")
    if not port.isascii() or not port.isdigit() or int(port) > 65535 or (colon and not host):
        raise ValueError(f"{text!r} is neither a port nor HOST:PORT")
    return host.removeprefix("[").removesuffix("]") or LOOPBACK, int(port)


__all__ = ["LOOPBACK", "Sample", "Source", "address_of", "samples_of", "serve_metrics"]
