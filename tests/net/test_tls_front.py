"""Who reads along with a node that speaks TLS is shown what crossed, in the clear, and nothing earlier."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from pathlib import Path

from dcompute_sim.brokers.run_certificates import run_certificates
from dcompute_sim.net.observer import Direction
from dcompute_sim.net.proxy import FaultProxy
from dcompute_sim.net.tls_front import TlsFront

from ..conftest import PATIENCE_S


class _Shown:
    """A tap that keeps what it is shown."""

    def __init__(self) -> None:
        self.heard: dict[str, bytes] = {"to_broker": b"", "to_node": b""}
        self.gone = 0

    def crossed(self, conn: Hashable, direction: Direction, data: bytes) -> None:
        self.heard[direction] += data

    def closed(self, conn: Hashable) -> None:
        self.gone += 1


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.002)


def test_what_crosses_is_shown_once_it_has(tmp_path: Path) -> None:
    asyncio.run(_crosses(tmp_path))


async def _crosses(folder: Path) -> None:
    _, logins = run_certificates("valid", folder)
    assert logins.shown is not None
    assert logins.others.tls is not None
    brokers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        brokers.append(writer)
        writer.write(b"<" + await reader.readexactly(4) + b">")

    broker = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=logins.shown)
    shown = _Shown()
    front = TlsFront(logins.shown, broker.sockets[0].getsockname(), logins.others.tls, shown)
    accepting = await front.start()
    proxy = FaultProxy("node", front.address)
    proxy.tap = front
    await proxy.start()
    reader, writer = await asyncio.open_connection(
        proxy.host, proxy.port, ssl=logins.nodes.tls, server_hostname="127.0.0.1"
    )
    writer.write(b"ping")
    assert await reader.readexactly(6) == b"<ping>"
    assert shown.heard == {"to_broker": b"ping", "to_node": b"<ping>"}
    proxy.down()
    brokers[0].write(b"late")
    await until(lambda: proxy.held_bytes)
    assert shown.heard["to_node"] == b"<ping>"
    proxy.up()
    assert await reader.readexactly(4) == b"late"
    assert shown.heard["to_node"] == b"<ping>late"
    brokers[0].close()
    assert await reader.read() == b""
    writer.close()
    await until(lambda: shown.gone)
    await proxy.close()
    accepting.close()
    broker.close()
