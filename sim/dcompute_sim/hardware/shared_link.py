"""One board's serial line in a run: a `SerialLink` for what is done to it, and an ear on it in between.

A link blocks, so each piece of work runs on a thread of its own while the loop goes on; between two pieces
the loop reads what the board prints, a line at a time. No two things use the port at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import serial

from dcompute_sim.hardware.board_errors import BoardError, BoardGone, PortMissing
from dcompute_sim.hardware.serial_link import LineLost, SerialLink

T = TypeVar("T")
Work = Callable[[SerialLink], T]

_REOPEN_S = 10.0  # a chip with its own USB leaves the bus when it is reset
_LONGEST_LINE = 4096


class SharedLink:
    """Does one thing after the other over one port, and listens in between.

    All methods belong to the thread of the running loop.

    Args:
        name: of the node, for messages.
        on_text: told each line that the board prints while nothing is done to it.
    """

    def __init__(self, name: str, port: str, baud: int, on_text: Callable[[str], None]) -> None:
        self.name = name
        self.port = port
        self._baud = baud
        self._on_text = on_text
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"line-{name}")
        self._turn = asyncio.Lock()
        self._link: SerialLink | None = None
        self._half = b""
        self._heard_fd = -1

    async def open(self) -> None:
        """Open the port. BoardError when it cannot be, or is in use."""
        self._link = await self._loop.run_in_executor(self._thread, self._opened)

    async def do(self, work: Work[T]) -> T:
        """Do `work` with the link, after what was asked for before. BoardError when it fails."""
        async with self._turn:
            self._deafen()
            try:
                return await self._loop.run_in_executor(self._thread, self._done, work)
            finally:
                # The prompt itself is the next work's to read.
                if self._link is not None and not self._link.at_prompt:
                    self._heard_fd = self._link.fileno()
                    self._loop.add_reader(self._heard_fd, self._hear)

    async def close(self) -> None:
        """Close the port."""
        async with self._turn:
            self._deafen()
            await self._loop.run_in_executor(self._thread, self._closed)
            self._thread.shutdown(wait=False)

    # --- on the line's thread -----------------------------------------------------------------------------

    def _opened(self) -> SerialLink:
        try:
            return SerialLink(self.port, self._baud)
        except PortMissing as error:
            raise PortMissing(f"{self.name}: {error}") from None

    def _done(self, work: Work[T]) -> T:
        try:
            if self._link is None:
                self._link = self._opened_again()
            return work(self._link)
        except BoardGone as error:
            self._closed()  # opened again for the next piece of work
            raise BoardGone(f"{self.name} at {error}") from None
        except BoardError as error:
            raise type(error)(f"{self.name} at {error}") from None

    def _opened_again(self) -> SerialLink:
        deadline_s = time.monotonic() + _REOPEN_S
        while True:
            try:
                return self._opened()
            except PortMissing:
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(0.2)

    def _closed(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()

    # --- listening ----------------------------------------------------------------------------------------

    def _deafen(self) -> None:
        if self._heard_fd >= 0:
            self._loop.remove_reader(self._heard_fd)
            self._heard_fd = -1

    def _hear(self) -> None:
        assert self._link is not None
        try:
            data = self._link.read_ready()
        except (serial.SerialException, OSError, LineLost):
            self._deafen()
            self._closed()  # opened again for the next piece of work
            return
        *lines, self._half = (self._half + data).split(b"\n")
        self._half = self._half[-_LONGEST_LINE:]
        for line in lines:
            self._on_text(line.decode(errors="replace").rstrip("\r"))
