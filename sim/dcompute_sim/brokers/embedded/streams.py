"""One client's socket: whole packets in, writes that never wait for a client, and silence that is noticed.

amqtt reads field by field from the socket with a task and a timeout for each packet, lets the expiry of a
keepalive pass without effect (after 1.0 instead of 1.5 times its length), and waits for a full socket with
the broker's delivery in its hands. TCP_NODELAY needs no care here: asyncio sets it on every socket it
accepts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter

from dcompute_sim.brokers.embedded import framing

# As much as is served for one client before the others have their turn.
_CHUNK_BYTES = 16_384
# A closed connection has this long to take what was still to be sent; a peer that is gone never will.
_LINGER_S = 5.0
_SILENCE_FACTOR = 1.5  # [MQTT-3.1.2-24]
_CHANCE_TO_READ_S = 0.01


class PacketReader(StreamReaderAdapter):  # type: ignore[misc]  # amqtt is untyped
    """The bytes from one client, cut into packets."""

    def __init__(self, stream: asyncio.StreamReader) -> None:
        super().__init__(stream)
        self._stream = stream
        self._buffer = bytearray()
        self._now_s = asyncio.get_running_loop().time
        self.heard_at_s = self._now_s()
        self.limit_bytes = framing.MAX_CONNECT_BYTES
        """Of one packet; more only for those who have logged in: five strangers could have a gigabyte."""

    async def packet(self) -> bytes | None:
        """Return the next whole packet, None at the end; MalformedPacket if its length cannot be one."""
        while (size := framing.packet_size(self._buffer, self.limit_bytes)) is None or size > len(
            self._buffer
        ):
            try:
                chunk = await self._stream.read(_CHUNK_BYTES)
            except OSError:  # reset, timed out, or cut within TLS
                return None
            if not chunk:
                return None
            self._buffer += chunk
            await asyncio.sleep(0)  # read() returns at once while there is data: others must have their turn
        # Only now: a client that sends one byte in a while and ends no packet says nothing [MQTT-3.1.2-24].
        self.heard_at_s = self._now_s()
        packet = bytes(self._buffer[:size])
        del self._buffer[:size]
        return packet


class PacketWriter(StreamWriterAdapter):  # type: ignore[misc]
    """Writing to one client without ever waiting for it; how far it lags is for the caller to look at."""

    def __init__(self, stream: asyncio.StreamWriter) -> None:
        super().__init__(stream)
        self._transport = stream.transport

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    @property
    def backlog_bytes(self) -> int:
        return self._transport.get_write_buffer_size()

    async def close(self) -> None:
        """Close once everything written is sent, but wait neither for that nor for ever."""
        if not self._transport.is_closing():
            self._transport.close()
            asyncio.get_running_loop().call_later(_LINGER_S, self._transport.abort)

    def abort(self) -> None:
        """End the connection now; the reader sees its end."""
        self._transport.abort()


class KeepaliveTimer:
    """Calls `on_silence` once no whole packet came for 1.5 x keepalive. One timer, re-armed only when due."""

    def __init__(self, reader: PacketReader, keepalive_s: int, on_silence: Callable[[], None]) -> None:
        self._reader = reader
        self._limit_s = keepalive_s * _SILENCE_FACTOR
        self._on_silence = on_silence
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(self._limit_s, self._look) if keepalive_s else None

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        if not self._rearmed():
            # After a stall of this process every timer is due before the waiting bytes were read: look twice.
            self._timer = self._loop.call_later(_CHANCE_TO_READ_S, self._look_again)

    def _look_again(self) -> None:
        if not self._rearmed():
            self._on_silence()

    def _rearmed(self) -> bool:
        left_s = self._reader.heard_at_s + self._limit_s - self._loop.time()
        if left_s <= 0:
            return False
        self._timer = self._loop.call_later(left_s, self._look)
        return True
