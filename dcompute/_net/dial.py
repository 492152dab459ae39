"""One attempt at a connection to a name that may have several addresses (happy eyeballs, RFC 8305).

The addresses are tried in turn, families alternating, each STAGGER_S after the one before or as soon as that
has failed; the first that answers is taken. So a dead IPv6 route costs a quarter of a second, not the whole
attempt, and `localhost` reaches a broker that listens on 127.0.0.1 only. TLS begins on the one that was
taken.

asyncio has this in `create_connection`, but only together with its way of looking names up (`resolve.py`).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from dcompute._fork import close_in_children
from dcompute._net.resolve import AddressInfo, resolve
from dcompute.drivers import Address, ChannelUser

STAGGER_S = 0.25


class Dial:
    """A connection attempt under way; ends in the user's `channel_open` or `channel_lost`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, address: Address, user: ChannelUser) -> None:
        self._user = user
        self._task = loop.create_task(self._open(loop, address))

    async def _open(self, loop: asyncio.AbstractEventLoop, address: Address) -> None:
        try:
            sock = await connect(await resolve(address.host, address.port))
            await loop.create_connection(
                lambda: _Protocol(self._user),
                sock=sock,
                ssl=address.tls,
                server_hostname=address.host if address.tls is not None else None,
            )
        except (OSError, ValueError) as error:  # the latter: not a host name
            self._user.channel_lost(error)

    def cancel(self) -> None:
        """Give up."""
        self._task.cancel()


async def connect(addresses: Sequence[AddressInfo]) -> socket.socket:
    """Return a socket connected to the first address that answers, else raise the most telling error."""
    loop = asyncio.get_running_loop()
    waiting = list(_alternating(addresses))
    attempts: set[asyncio.Task[socket.socket]] = set()
    errors: list[BaseException] = []
    try:
        while waiting or attempts:
            if waiting:
                attempts.add(loop.create_task(_connect(loop, waiting.pop(0))))
            done, _ = await asyncio.wait(
                attempts, timeout=STAGGER_S if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for attempt in done:
                attempts.discard(attempt)
                error = attempt.exception()
                if error is None:
                    return attempt.result()
                errors.append(error)
    finally:
        for attempt in attempts:
            attempt.cancel()
            attempt.add_done_callback(_close)
    raise next((error for error in errors if isinstance(error, ConnectionRefusedError)), errors[-1])


async def _connect(loop: asyncio.AbstractEventLoop, info: AddressInfo) -> socket.socket:
    family, kind, protocol, _, address = info
    sock = socket.socket(family, kind, protocol)
    try:
        close_in_children(sock)
        sock.setblocking(False)
        # Without it a QoS 1 round trip takes 44 ms instead of 0.3 (Nagle against delayed acknowledgement).
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


def _close(attempt: asyncio.Task[socket.socket]) -> None:
    """Close one that came too late."""
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()


def _alternating(addresses: Sequence[AddressInfo]) -> Iterator[AddressInfo]:
    """Yield those of the family that comes first and those of the others in turn."""
    first = [info for info in addresses if info[0] == addresses[0][0]]
    others = [info for info in addresses if info[0] != addresses[0][0]]
    for pair in zip_longest(first, others):
        yield from (info for info in pair if info is not None)


class _Protocol(asyncio.Protocol):
    """Joins an asyncio transport to a ChannelUser."""

    def __init__(self, user: ChannelUser) -> None:
        self._user = user

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._user.channel_open(transport)

    def data_received(self, data: bytes) -> None:
        self._user.channel_data(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._user.channel_lost(error)
