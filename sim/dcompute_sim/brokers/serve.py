"""One of our brokers in the foreground: `python -m dcompute_sim.brokers.serve --kind embedded --port 0`.

Prints one line, `{"listening": [host, port]}`, once it accepts connections; ends on SIGTERM and SIGINT, and
with `--die-with-parent` also when its stdin ends, as it does when the parent is gone however that came
about.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from dcompute_sim.brokers import open_files
from dcompute_sim.brokers.real_broker import BrokerError, BrokerSecurity

KINDS = ("embedded", "amqtt-plain", "model")
_OPEN_FILES = 16_384
_EXIT_FAILED = 1


class Serve(Protocol):
    """What each kind offers: serve until `stop`, saying where as soon as connections are accepted."""

    async def __call__(
        self,
        host: str,
        port: int,
        *,
        security: BrokerSecurity,
        state_file: Path | None,
        on_listening: Callable[[str, int], None],
        stop: asyncio.Event,
    ) -> None: ...


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    if options.kind == "amqtt-plain":
        logging.getLogger("amqtt").setLevel(logging.CRITICAL)  # it is here for its faults, not for its log
    open_files.raise_open_files(_OPEN_FILES)
    try:
        asyncio.run(_serve_until_told(options))
    except BrokerError as error:
        print(error, file=sys.stderr)
        return _EXIT_FAILED
    return 0


async def _serve_until_told(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if options.die_with_parent:
        loop.add_reader(sys.stdin.fileno(), _stop_at_end_of_stdin, loop, stop)
    security = BrokerSecurity(options.password_file, options.cert, options.key, options.client_ca)
    try:
        await broker_of(options.kind)(
            options.host,
            options.port,
            security=security,
            state_file=options.state,
            on_listening=_say_where,
            stop=stop,
        )
    except OSError as error:
        raise BrokerError(_why_not_listening(options.host, options.port, error)) from error


def broker_of(kind: str) -> Serve:
    """Return the function that serves this kind; imported only now, since amqtt takes its time."""
    if kind == "model":
        from dcompute_sim.brokers.model import tcp_server

        return tcp_server.serve
    if kind == "amqtt-plain":
        from dcompute_sim.brokers.embedded import plain

        return plain.serve
    from dcompute_sim.brokers.embedded import server

    return server.serve


def _say_where(host: str, port: int) -> None:
    print(json.dumps({"listening": [host, port]}), flush=True)


def _stop_at_end_of_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 1024):
        loop.remove_reader(sys.stdin.fileno())
        stop.set()


def _why_not_listening(host: str, port: int, error: OSError) -> str:
    where = f"{host}:{port}"
    if error.errno == errno.EADDRINUSE:
        return f"{where} is in use by another program: choose another port, or 0 for a free one"
    if error.errno == errno.EACCES:
        return f"{where}: only root may listen there; choose a port above 1023"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{where}: this machine has no such address"
    if isinstance(error, socket.gaierror):
        return f"{host}: no such host"
    return f"{where}: cannot listen there: {error}"


def _parser() -> argparse.ArgumentParser:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        prog="python -m dcompute_sim.brokers.serve", description=__doc__.split(":")[0]
    )
    parser.add_argument("--kind", choices=KINDS, default="embedded")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=_port, default=1883, help="0 for a free one")
    parser.add_argument("--password-file", type=Path, help="lines as mosquitto_passwd writes them")
    parser.add_argument("--cert", type=Path, help="TLS: the broker's certificate (PEM)")
    parser.add_argument("--key", type=Path, help="TLS: its key (PEM)")
    parser.add_argument("--client-ca", type=Path, help="TLS: clients must show a certificate this CA signed")
    parser.add_argument("--state", type=Path, help="keep retained messages and sessions in this file")
    parser.add_argument("--die-with-parent", action="store_true", help="end when stdin ends")
    return parser


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65_535:
        raise ValueError(text)
    return port


if __name__ == "__main__":
    sys.exit(main())
