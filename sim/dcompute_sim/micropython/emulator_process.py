"""A started emulator: one process, its control channel, what it prints. Shared by every kind of board.

Whoever runs a board in real time, in lockstep or at a serial port starts the same process and speaks the same
lines of JSON with it; they differ in when they read. So nothing here waits, watches a descriptor or knows
time (but `send` with `may_wait`): the owner reads when its loop, or its turn, says so.

The process is ended by its id only, by whoever started it. The end of one: `signal` (or the channel ends by
itself), `wait`, read its last words, `close`.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
from pathlib import Path
from typing import IO

from dcompute_sim.micropython import board as boards
from dcompute_sim.micropython.address_space import fixed_addresses
from dcompute_sim.micropython.board import Board
from dcompute_sim.micropython.provision import Emulator

_CHUNK = 65536


class EmulatorProcess:
    """The process of one life of a board, between two resets.

    Args:
        root: the folder that is its flash; the process starts in it.
        stdin: what it reads as typed; a descriptor, or DEVNULL.
        output: where it prints; PIPE: `printed` reads it.
        console: it serves a prompt (see shims/_repl.py).
    """

    def __init__(
        self,
        emulator: Emulator,
        board: Board,
        kernel: boards.Kernel,
        root: Path,
        *,
        stdin: int = subprocess.DEVNULL,
        output: int | IO[bytes] = subprocess.PIPE,
        console: bool = False,
    ) -> None:
        self.name = root.name
        self.control, theirs = socket.socketpair()
        with theirs, fixed_addresses():
            self._process = subprocess.Popen(
                boards.command(emulator, board, kernel, theirs.fileno(), console),
                cwd=root,
                env={"PATH": os.environ.get("PATH", "")},
                stdin=stdin,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs.fileno(),),
            )
        self._half_event = b""
        self.output_fd = -1
        if self._process.stdout is not None:
            self.output_fd = self._process.stdout.fileno()
            os.set_blocking(self.output_fd, False)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def has_exited(self) -> bool:
        """Whether it has, without collecting it."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def send(self, line: bytes, *, may_wait: bool = False) -> None:
        """Give it an order; one that has died hears nothing, as its end of file says.

        Args:
            may_wait: until it has read, where the order may be larger than the channel.
        """
        self.control.setblocking(may_wait)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            if may_wait:
                self.control.sendall(line)
            elif self.control.send(line) != len(line):
                raise RuntimeError(f"the board {self.name} does not read its control channel")
        self.control.setblocking(False)

    def events(self) -> tuple[list[dict[str, object]], bool]:
        """Return what it has told since the last call, and whether it still lives."""
        alive = True
        self.control.setblocking(False)
        while alive:
            try:
                data = self.control.recv(_CHUNK)
            except BlockingIOError:
                break
            except ConnectionResetError:  # it died with orders unread
                data = b""
            alive = bool(data)
            self._half_event += data
        *lines, self._half_event = self._half_event.split(b"\n")
        return [json.loads(line) for line in lines], alive

    def printed(self) -> bytes | None:
        """Return what it has printed since the last call; b"" when that is nothing, None when there is no
        more."""
        try:
            return os.read(self.output_fd, _CHUNK) or None
        except BlockingIOError:
            return b""

    def wait(self) -> int:
        """Collect the process, which was killed or has closed its channel; its status, or minus a signal.

        Its last words can still be read.
        """
        return self._process.wait()

    def close(self) -> None:
        """Close what led to it; it has been waited for."""
        self.control.close()
        if self._process.stdout is not None:
            self._process.stdout.close()
