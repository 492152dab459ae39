"""The process of one board in virtual time and the channel to it: bytes out, a whole request in."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
from collections.abc import Mapping
from pathlib import Path

from dcompute_sim.micropython import lockstep_wire as wire
from dcompute_sim.micropython.board import Board
from dcompute_sim.micropython.emulator_process import EmulatorProcess
from dcompute_sim.micropython.provision import Emulator

PATIENCE_S = 30  # of real time, for one turn; a program that never waits again would stop the whole run
_CHUNK = 65536
_HEAD = wire.REQUEST.size


class LockstepError(RuntimeError):
    """A board's process broke the protocol or computes without end; the message names the board."""


class LockstepProcess:
    """A started process; it waits for its first grant. `end` it, always.

    Args:
        name: of the board, for messages.
        emulator: what to run.
        board: what is on it.
        root: the folder that is its flash.
        reset_cause: what the firmware shall see as the reason of its start.
        kept: what outlived its last end.
    """

    def __init__(
        self,
        name: str,
        emulator: Emulator,
        board: Board,
        root: Path,
        reset_cause: int,
        kept: Mapping[str, object],
    ) -> None:
        self._name = name
        self._console = root.parent / "console"  # what MicroPython itself prints when it dies
        with self._console.open("wb") as console:
            self._process = EmulatorProcess(emulator, board, "lockstep", root, output=console)
        channel = self._process.control
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", PATIENCE_S, 0))
        self._fd = channel.fileno()
        self._rest = b""  # the beginning of the next request
        self.write(board.power_on(reset_cause, emulator.umqtt, kept))

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def write(self, data: bytes) -> None:
        """Send, all of it."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it died; the read says so
            sent = os.write(self._fd, data)
            while sent < len(data):
                sent += os.write(self._fd, data[sent:])

    def read(self) -> bytes:
        """Return the next request, whole; b"" when the process is gone."""
        data, self._rest = self._rest, b""
        try:
            while len(data) < _HEAD or len(data) < _HEAD + int.from_bytes(data[:4], "little"):
                more = os.read(self._fd, _CHUNK)
                if not more:
                    return b""
                data += more
        except ConnectionResetError:
            return b""
        except BlockingIOError:
            raise LockstepError(
                f"board {self._name} computed for {PATIENCE_S} s of real time without a wait or a look "
                "at the clock: an endless loop? Computing takes no virtual time, so it would never end"
            ) from None
        size = _HEAD + int.from_bytes(data[:4], "little")
        if len(data) > size:
            self._rest = data[size:]
            return data[:size]
        return data

    def end(self) -> str:
        """Take the process away; its last words, if MicroPython itself had something to say."""
        self._process.signal(signal.SIGKILL)
        self._process.wait()
        self._process.close()
        said = self._console.read_text(errors="replace").strip().splitlines()
        return said[-1] if said else "without a message"
