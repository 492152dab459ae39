"""The corrected broker on a TCP or TLS port, from start to a clean end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from dcompute_sim.brokers import tls
from dcompute_sim.brokers.embedded import auth, persistence
from dcompute_sim.brokers.embedded.corrected_broker import LISTENER, CorrectedBroker
from dcompute_sim.brokers.embedded.streams import PacketReader, PacketWriter
from dcompute_sim.brokers.real_broker import BrokerSecurity

# A whole fleet connects within milliseconds; the default of 100 would make the rest wait for TCP's retry.
_BACKLOG = 4096
# A connection accepted in the last moment shows up among the open ones a few turns of the loop later.
_ACCEPTED_S = 0.01

_log = logging.getLogger(__name__)


async def serve(
    host: str,
    port: int,
    *,
    security: BrokerSecurity,
    state_file: Path | None,
    on_listening: Callable[[str, int], None],
    stop: asyncio.Event,
) -> None:
    """Serve until `stop`; then end every connection and, if asked to, write down what is to be remembered."""
    context = tls.server_context(security)
    broker = CorrectedBroker(auth.plugin(security), auth.access_rules(security))
    connections = _Connections(broker)
    await broker.start()
    try:
        if state_file is not None:
            await persistence.restore(broker, state_file)
        server = await asyncio.start_server(connections.serve, host, port, ssl=context, backlog=_BACKLOG)
        try:
            on_listening(*server.sockets[0].getsockname()[:2])
            await stop.wait()
        finally:
            server.close()
            broker.withhold_wills()
            await connections.end()
        if state_file is not None:
            persistence.save(broker, state_file)
    finally:
        await broker.shutdown()


class _Connections:
    """Every connection from its acceptance on, CONNECT or not, so that all of them can be ended."""

    def __init__(self, broker: CorrectedBroker) -> None:
        self._broker = broker
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = writer
        try:
            await self._broker.external_connected(PacketReader(reader), PacketWriter(writer), LISTENER)
        except Exception:  # an error of ours in one connection must not reach the others
            _log.exception("a connection ended by an error of the broker's own")
        finally:
            writer.close()
            del self._open[task]

    async def end(self) -> None:
        await asyncio.sleep(_ACCEPTED_S)
        tasks = list(self._open)
        for writer in list(self._open.values()):
            writer.transport.abort()
        await asyncio.gather(*tasks)
