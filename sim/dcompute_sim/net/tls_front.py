"""Reads along with a node that speaks TLS, in real time: ends its TLS in the broker's place, and begins
another to the broker.

The rules:

1. It stands behind the node's link, at the broker's end: what comes from the node has crossed by then, and is
   shown as soon as it is read.
2. What goes to the node has yet to cross. It is shown when as many bytes as it was wrapped into have
   (`crossed`, told by the link), as without TLS.
3. The node sees the broker's certificate, and refuses it as it would the broker's. Whom the broker shows what
   is no matter here.

Rejected: to decrypt with the run's keys (mbedtls gives none away), and a board that tells what it reads and
writes: it would do so before it has crossed, and out of its own heap.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Hashable

from dcompute_sim.net.observer import ByteTap, Direction
from dcompute_sim.net.relay import Pipe

_AT_ONCE = 65536


class TlsFront:
    """Stands in front of a broker for one node.

    Args:
        shown: the certificate that the node sees.
        broker: its address.
        goes_on: how to log in there.
        tap: is shown what the node says and hears.
    """

    def __init__(
        self, shown: ssl.SSLContext, broker: tuple[str, int], goes_on: ssl.SSLContext, tap: ByteTap
    ) -> None:
        self.shown = shown
        self.broker = broker
        self.goes_on = goes_on
        self.tap = tap
        self.ended: dict[int, _Ended] = {}
        """By the port from which the node's link comes, until the link says that it is over."""
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listening.getsockname()

    async def start(self) -> asyncio.Server:
        """Begin to accept."""
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: _Ended(self), sock=self._listening)

    def crossed(self, conn: Hashable, direction: Direction, data: bytes) -> None:
        """Hear that wrapped bytes have crossed the link."""
        ended = self.ended.get(_port_of(conn))
        if ended is not None and direction == "to_node":
            ended.arrived(len(data))

    def closed(self, conn: Hashable) -> None:
        """Forget that connection, which is gone."""
        ended = self.ended.pop(_port_of(conn), None)
        if ended is not None:
            self.tap.closed(ended)


def _port_of(conn: Hashable) -> int:
    """Return where the link's connection to us comes from; 0 before it does."""
    assert isinstance(conn, Pipe), "the link's"
    transport = conn.broker.transport
    return 0 if transport is None else transport.get_extra_info("sockname")[1]


class _Ended(asyncio.Protocol):
    """One connection of the node, whose TLS ends here."""

    def __init__(self, front: TlsFront) -> None:
        self._front = front
        self._loop = asyncio.get_running_loop()
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = front.shown.wrap_bio(self._in, self._out, server_side=True)
        self._is_open = False
        self._said: list[bytes] = []  # before the broker was there
        self._wrapped = self._arrived = 0  # bytes to the node
        self._on_its_way: deque[tuple[int, bytes]] = deque()  # when so many have arrived, that has
        self._transport: asyncio.Transport | None = None
        self._broker: _Onward | None = None
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._front.ended[transport.get_extra_info("peername")[1]] = self

    def data_received(self, data: bytes) -> None:
        self._in.write(data)
        try:
            if not self._is_open:
                self._tls.do_handshake()
                self._is_open = True
                self._connecting = self._loop.create_task(self._reach_broker())
            while said := self._tls.read(_AT_ONCE):
                self._front.tap.crossed(self, "to_broker", said)
                self._go_on(said)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:  # it refuses, or speaks no TLS
            self._flush()
            self.end()
            return
        self._flush()

    def _go_on(self, said: bytes) -> None:
        if self._broker is not None:
            self._broker.say(said)
        else:
            self._said.append(said)

    async def _reach_broker(self) -> None:
        front = self._front
        try:
            _, self._broker = await self._loop.create_connection(
                lambda: _Onward(self), *front.broker, ssl=front.goes_on, server_hostname=front.broker[0]
            )
        except OSError:
            self.end()
            return
        for said in self._said:
            self._broker.say(said)

    def heard(self, data: bytes) -> None:
        """Pass on what the broker said."""
        self._tls.write(data)
        wrapped = self._out.read()
        self._on_its_way.append((self._wrapped + len(wrapped), data))
        self._send(wrapped)

    def _flush(self) -> None:
        self._send(self._out.read())

    def _send(self, wrapped: bytes) -> None:
        self._wrapped += len(wrapped)
        if wrapped and self._transport is not None and not self._transport.is_closing():
            self._transport.write(wrapped)

    def arrived(self, n_bytes: int) -> None:
        """Show what the node has got with these bytes."""
        self._arrived += n_bytes
        while self._on_its_way and self._on_its_way[0][0] <= self._arrived:
            self._front.tap.crossed(self, "to_node", self._on_its_way.popleft()[1])

    def end(self) -> None:
        """Close what is left of it on either side."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._broker is not None:
            self._broker.end()
        if self._transport is not None:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.end()


class _Onward(asyncio.Protocol):
    """Its other half, to the broker."""

    def __init__(self, ended: _Ended) -> None:
        self._ended = ended
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def say(self, data: bytes) -> None:
        """Tell the broker."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        self._ended.heard(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended.end()

    def end(self) -> None:
        """Close it."""
        if self._transport is not None:
            self._transport.close()
