"""One board's serial line: mpremote's transport for what is done to it, and an ear on it in between.

mpremote blocks, so each piece of work runs on the line's own thread while the loop goes on; between two
pieces the loop reads what the board prints, a line at a time. No two things use the port at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import serial
from mpremote import transport_serial
from mpremote.transport import TransportError
from mpremote.transport_serial import SerialTransport

T = TypeVar("T")
Work = Callable[[SerialTransport], T]

_ANSWER_S = 3.0
_REOPEN_S = 10.0  # a chip with its own USB leaves the bus when it is reset
_LONGEST_LINE = 4096
_TRIES = 3
_INTERRUPTED_S = 0.05
_RESET = b"import machine\nmachine.reset()"

# It prints the bytes that it did not expect before it raises, which is all that we need.
transport_serial.print = lambda *_words: None


class BoardError(RuntimeError):
    """A board cannot be used; the message says which, where, why and what would help."""


class SerialLine:
    """See the module's head. All methods belong to the thread of the running loop.

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
        self._transport: SerialTransport | None = None
        self._half = b""
        self._heard_fd = -1

    async def open(self) -> None:
        """Open the port. BoardError when it cannot be, or is in use."""
        self._transport = await self._loop.run_in_executor(self._thread, self._opened)

    async def do(self, work: Work[T]) -> T:
        """Do `work` with the transport, after what was asked for before. BoardError when it fails."""
        async with self._turn:
            self._deafen()
            try:
                return await self._loop.run_in_executor(self._thread, self._done, work)
            finally:
                self._listen()

    async def close(self) -> None:
        """Close the port."""
        async with self._turn:
            self._deafen()
            await self._loop.run_in_executor(self._thread, self._closed)
            self._thread.shutdown(wait=False)

    # --- on the line's thread -----------------------------------------------------------------------------

    def _opened(self) -> SerialTransport:
        try:
            return SerialTransport(self.port, self._baud, timeout=_ANSWER_S)
        except (TransportError, serial.SerialException, OSError, ValueError) as error:
            raise BoardError(
                f"{self.name}: the port {self.port} cannot be opened ({_why(error, self.port)}): "
                "is it the right one, is the board plugged in, does another program use it, may you"
                " use it (group dialout)?"
            ) from None

    def _done(self, work: Work[T]) -> T:
        try:
            if self._transport is None:
                self._transport = self._opened_again()
            return work(self._transport)
        except serial.SerialException as error:
            self._closed()
            raise BoardError(f"{self.name}: {self.port} has gone away: {error}") from None
        except (TransportError, OSError, ValueError) as error:
            raise BoardError(f"{self.name} at {self.port}: {_why(error, self.port)}") from None

    def _opened_again(self) -> SerialTransport:
        deadline_s = time.monotonic() + _REOPEN_S
        while True:
            try:
                return self._opened()
            except BoardError:
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(0.2)

    def _closed(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            with contextlib.suppress(OSError, serial.SerialException):
                transport.close()

    # --- listening ----------------------------------------------------------------------------------------

    def _listen(self) -> None:
        # At the raw prompt nothing is said but answers, and the prompt itself is the next work's to read.
        if self._transport is not None and not self._transport.in_raw_repl:
            self._heard_fd = self._transport.serial.fileno()
            self._loop.add_reader(self._heard_fd, self._hear)

    def _deafen(self) -> None:
        if self._heard_fd >= 0:
            self._loop.remove_reader(self._heard_fd)
            self._heard_fd = -1

    def _hear(self) -> None:
        assert self._transport is not None
        try:
            data = self._transport.serial.read(self._transport.serial.in_waiting or 1)
        except (serial.SerialException, OSError):
            self._deafen()
            self._closed()  # opened again for the next piece of work
            return
        *lines, self._half = (self._half + data).split(b"\n")
        self._half = self._half[-_LONGEST_LINE:]
        for line in lines:
            self._on_text(line.decode(errors="replace").rstrip("\r"))


def _why(error: Exception, port: str) -> str:
    """An error's own words without the port, which the message has already."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[-1].replace(port, "it")


def stop_program(transport: SerialTransport, *, soft_reset: bool = True) -> None:
    """Interrupt whatever runs and enter the raw REPL; with `soft_reset` its threads and sockets go too."""
    for tries_left in reversed(range(_TRIES)):
        try:
            transport.enter_raw_repl(soft_reset=soft_reset, timeout_overall=3)
            return
        except TransportError:
            if not tries_left:
                raise TransportError(
                    "no MicroPython prompt: is MicroPython on the board, at this baud rate? does it hang?"
                ) from None
            transport.serial.write(b"\r\x03\x03\x02")  # it may be in the middle of its start


def hard_reset(transport: SerialTransport, by: str) -> None:
    """Reset the chip; what runs is interrupted first unless the RTS line does it (`by`: repl or rts)."""
    if by == "rts":
        transport.serial.dtr = False
        transport.serial.rts = True
        time.sleep(0.1)
        transport.serial.rts = False
    elif transport.in_raw_repl:
        transport.exec_raw_no_follow(_RESET)
    else:
        # Without waiting for answers: its other threads go on, and print in between.
        transport.serial.write(b"\r\x03\x03")
        time.sleep(_INTERRUPTED_S)
        transport.serial.write(b"\r\x01" + _RESET + b"\x04")
    transport.in_raw_repl = False
