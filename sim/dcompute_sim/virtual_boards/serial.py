"""The serial line of a virtual board: a pseudo-terminal or a TCP port, and what can be wrong with a line."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import tty
from collections.abc import Callable
from typing import Protocol

Received = Callable[[bytes], None]

_CHUNK = 65536
_NOBODY_READS_S = 2.0  # a UART waits for nobody; a reader on a busy machine deserves some patience
_BITS_PER_BYTE = 10  # with start and stop bit
_FULL_BYTES = 64 * 1024


class SerialPort(Protocol):
    """A way into the machine: where the cable ends."""

    address: str

    async def open(self, received: Received) -> None:
        """Make the port; `address` is then what mpremote is to be given."""

    def send(self, data: bytes) -> None:
        """Send to whoever has opened the port; nobody: it is lost."""

    def waiting(self) -> int:
        """Count the bytes not yet taken."""

    async def close(self) -> None:
        """Pull the cable out: whoever has opened the port sees it go."""


class PtyPort:
    """A pseudo-terminal, as a USB serial adapter would be."""

    def __init__(self) -> None:
        self.address = ""
        self._master = self._slave = -1
        self._queue = bytearray()
        self._patience: asyncio.TimerHandle | None = None  # while it waits for the terminal to take more
        self._deaf = False

    async def open(self, received: Received) -> None:
        self._master, self._slave = os.openpty()  # the slave stays open here, so it stays raw between clients
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.address = os.ttyname(self._slave)
        self._received = received
        asyncio.get_running_loop().add_reader(self._master, self._read)

    def send(self, data: bytes) -> None:
        if self._master >= 0:
            self._queue += data
            self._flush()

    def waiting(self) -> int:
        return len(self._queue)

    async def close(self) -> None:
        if self._master < 0:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._master)
        self._stop_waiting()
        os.close(self._master)
        os.close(self._slave)
        self._master = self._slave = -1
        self._queue.clear()

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._received(os.read(self._master, _CHUNK))

    def _flush(self) -> None:
        """Write what the terminal takes."""
        before = len(self._queue)
        with contextlib.suppress(BlockingIOError):
            while self._queue:
                n = os.write(self._master, self._queue[:4096])
                del self._queue[:n]
        if len(self._queue) < before:
            self._deaf = False
            self._stop_waiting()
        elif self._deaf:
            self._queue.clear()
        if self._queue and self._patience is None:
            loop = asyncio.get_running_loop()
            loop.add_writer(self._master, self._flush)
            self._patience = loop.call_later(_NOBODY_READS_S, self._nobody_reads)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
            asyncio.get_running_loop().remove_writer(self._master)

    def _nobody_reads(self) -> None:
        self._stop_waiting()
        self._deaf = True  # until it takes something again
        self._queue.clear()


class TcpPort:
    """A TCP port for `socket://`: one client at a time has the line, a new one takes it over."""

    def __init__(self, port: int = 0) -> None:
        self.address = ""
        self._port = port
        self._server: asyncio.Server | None = None
        self._client: asyncio.StreamWriter | None = None
        self._received: Received | None = None

    async def open(self, received: Received) -> None:
        self._received = received
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        self.address = f"socket://127.0.0.1:{self._port}"

    def send(self, data: bytes) -> None:
        if self._client is not None and not self._client.is_closing():
            self._client.write(data)

    def waiting(self) -> int:
        return 0 if self._client is None else self._client.transport.get_write_buffer_size()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            if self._client is not None:
                self._client.transport.abort()
            self._server = self._client = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._client is not None:
            self._client.transport.abort()
        self._client = writer
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(_CHUNK):
                assert self._received is not None
                self._received(data)
        writer.close()
        # Else a new client has taken the line over.
        if self._client is writer:
            self._client = None


class Line:
    """The cable between a board and its port: as fast as its bit rate, and not always clean.

    Args:
        port: where it ends.
        received: told what comes from the port.
        crowded: told whether the board must hold back its output.
        baud: bits a second; None: no limit.
        noise: the part of all bytes, either way, that arrive as something else.
    """

    def __init__(
        self,
        port: SerialPort,
        received: Received,
        crowded: Callable[[bool], None],
        baud: int | None = None,
        noise: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.port = port
        self.noise = noise
        self._crowded = crowded
        self._rng = random.Random(f"line/{seed}")
        self._out = _Way(port.send, baud)
        self._in = _Way(received, baud)
        self._check: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Plug the cable in."""
        await self.port.open(self.received)

    def received(self, data: bytes) -> None:
        """Take bytes for the board: from the port, or from a test that types."""
        self._in.put(self._spoilt(data))

    async def close(self) -> None:
        """Pull the cable out."""
        self._out.clear()
        self._in.clear()
        if self._check is not None:
            self._check.cancel()
            self._check = None
        await self.port.close()

    def send(self, data: bytes) -> None:
        """Send from the board."""
        self._out.put(self._spoilt(data))
        self._hold_back()

    def garbage(self, data: bytes) -> None:
        """Let bytes that nobody sent arrive at the port."""
        self._out.put(data)

    def _hold_back(self) -> None:
        self._check = None
        full = self._out.waiting + self.port.waiting() > _FULL_BYTES
        self._crowded(full)
        if full:
            # A port says how much waits, not when that shrinks: so it is asked again.
            self._check = asyncio.get_running_loop().call_later(0.01, self._hold_back)

    def _spoilt(self, data: bytes) -> bytes:
        if not self.noise:
            return data
        return bytes(self._rng.randrange(256) if self._rng.random() < self.noise else byte for byte in data)


class _Way:
    """One direction, at the line's rate."""

    def __init__(self, deliver: Received, baud: int | None) -> None:
        self._deliver = deliver
        self._bytes_per_s = baud / _BITS_PER_BYTE if baud else None
        self._queue = bytearray()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def put(self, data: bytes) -> None:
        if self._bytes_per_s is None:
            self._deliver(data)
            return
        self._queue += data
        if self._timer is None:
            self._next()

    def clear(self) -> None:
        self._queue.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _next(self) -> None:
        assert self._bytes_per_s is not None
        # Ten milliseconds' worth at a time: a timer for each byte would be 11,520 a second at 115,200 baud.
        n = min(len(self._queue), max(1, round(self._bytes_per_s / 100)))
        self._timer = asyncio.get_running_loop().call_later(n / self._bytes_per_s, self._arrive, n)

    def _arrive(self, n: int) -> None:
        data = bytes(self._queue[:n])
        del self._queue[:n]
        self._timer = None
        # The timer first: whoever gets these bytes may put more on the line, which then only queue up.
        if self._queue:
            self._next()
        self._deliver(data)
