"""One emulated ESP32 in real time: a process, its control channel, its output, its faults.

Everything happens on the caller's asyncio loop; nothing blocks and no thread is started. The node is its own
process and is ended by its id only. What the chip does by itself (restart after `machine.reset()` or when the
watchdog bites) this does too, so a firmware's recovery is seen as it would be on a desk.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from dcompute_sim.micropython import board as boards
from dcompute_sim.micropython import flash_folder
from dcompute_sim.micropython.board import Board
from dcompute_sim.micropython.emulator_process import EmulatorProcess
from dcompute_sim.micropython.kept import Kept
from dcompute_sim.micropython.provision import Emulator

RESTART_S = 0.25  # a chip needs about this long from reset to the first line of boot.py


class BoardListener(Protocol):
    """Who wants to know what a board does. All calls come from the loop."""

    def started(self, boot: int, reset_cause: int) -> None:
        """Hear that the power is on; `boot` counts from 1."""

    def stopped(self, how: str) -> None:
        """Hear that the process is gone: `kill`, `reset`, `soft_reset`, `deepsleep`, `watchdog` or `died:
        ...`."""

    def output(self, line: str) -> None:
        """Hear a line the firmware printed."""

    def event(self, name: str, fields: dict[str, object]) -> None:
        """Hear what the board tells: `wlan`, `crash` (uncaught traceback), `ended`, `core`, `watchdog`,
        `boot`."""


RESETS = {
    boards.HARD_RESET: "reset",
    boards.SOFT_RESET: "soft_reset",
    boards.DEEPSLEEP_RESET: "deepsleep",
    boards.WDT_RESET: "watchdog",
}


class FirmwareProcess:
    """An emulated board. `start`, then faults at will; `close` at the end, always.

    Args:
        emulator: from `provision()`.
        board: what it is and what is on it.
        listener: told what happens.
        name: for the folder that is its flash, and for messages.
    """

    def __init__(
        self, emulator: Emulator, board: Board, listener: BoardListener, name: str = "board"
    ) -> None:
        self.board = board
        self.boots = 0
        self._emulator = emulator
        self._listener = listener
        self._root = flash_folder.new_folder(name)
        self._process: EmulatorProcess | None = None
        self._half_line = b""
        self._next_cause: int | None = None  # set when the board said that it resets
        self._asleep_ms = 0  # -1: until somebody switches it on
        self._radio = dict(board.radio)
        self._kept = Kept(board.clock_start_us)
        self._watchdog_ms = 0
        self._hung = False
        self._timer: asyncio.TimerHandle | None = None
        self._memory: dict[int, asyncio.Future[tuple[int, int]]] = {}
        self._asking: set[asyncio.Task[None]] = set()
        self._killed = False
        self._booted = False
        with flash_folder.removed_on_error(self._root):
            board.write_flash(self._root)

    # --- power ------------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether the process exists (a hung one does)."""
        return self._process is not None

    @property
    def asleep(self) -> bool:
        """Whether it is in deep sleep."""
        return self._process is None and self._next_cause == boards.DEEPSLEEP_RESET and not self._killed

    @property
    def pid(self) -> int | None:
        """Process id while running."""
        return self._process.pid if self._process else None

    @property
    def vanished(self) -> bool:
        """Whether the chip stopped by itself, or lost its power: nothing of it said goodbye. A soft reset
        closes the sockets, as the kernel does."""
        if self._killed or self._next_cause == boards.SOFT_RESET:
            return False
        process = self._process
        return process is None or process.has_exited

    @property
    def root(self) -> Path:
        """The folder that is the board's flash; it survives reboots."""
        return self._root

    def start(self, reset_cause: int = boards.PWRON_RESET) -> None:
        """Switch on."""
        if self._process is not None:
            raise RuntimeError("the board is already running")
        self._cancel_timer()
        loop = asyncio.get_running_loop()
        process = self._process = EmulatorProcess(self._emulator, self.board, "real", self._root)
        self._half_line = b""
        self._killed = self._hung = self._booted = False
        self._next_cause = None
        self._asleep_ms = 0
        self._watchdog_ms = 0
        loop.add_reader(process.control, self._read_control)
        loop.add_reader(process.output_fd, self._read_output)
        self.boots += 1
        self._listener.started(self.boots, reset_cause)
        kept = self._kept.start(reset_cause, loop.time())
        line = json.loads(self.board.power_on(reset_cause, self._emulator.umqtt, kept))
        self._order({**line, "radio": self._radio})

    def stopping(self) -> None:
        """Hear that the chip has stopped by itself, silently; for who must know of it before the listener
        does."""

    def kill(self) -> None:
        """Switch off, or let the whole chip crash: SIGKILL. The kernel sends FIN for its sockets."""
        self._cancel_timer()
        self._killed = True
        if self._process is not None:
            self._process.signal(signal.SIGKILL)
            self._reap()

    def reboot(self) -> None:
        """Switch off and on."""
        self.kill()
        self.start()

    def hang(self) -> None:
        """Let the chip stand still (SIGSTOP); its watchdog, if the firmware started one, still bites."""
        if self._process is None or self._hung:
            return
        self._hung = True
        self._process.signal(signal.SIGSTOP)
        if self._watchdog_ms:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._watchdog_ms / 1000, self._watchdog_bites)

    def resume(self) -> None:
        """Go on after `hang`."""
        if self._process is not None and self._hung:
            self._hung = False
            self._cancel_timer()
            self._process.signal(signal.SIGCONT)

    def close(self) -> None:
        """End the process and remove its folder; the object is of no further use."""
        self.kill()
        flash_folder.remove_folder(self._root)

    # --- the board's surroundings -----------------------------------------------------------------------

    def radio(self, **changes: object) -> None:
        """Change the air around the board (keys: class Radio in shims/network.py); kept over reboots."""
        self._radio |= changes
        self._order({"op": "radio", "set": changes})

    def kick(self, reason: int = 200, stuck: str | None = None) -> None:
        """Let the access point throw the board out; `reason` is what `WLAN.status()` then shows.

        `stuck` (silent, raises): how the interface fails to join any network, until it is started afresh.
        """
        self._order({"op": "kick", "reason": reason, "stuck": stuck})

    def leave(self) -> None:
        """Have our firmware's program call `stop()` when it next looks for a task; it then tells `left`."""
        self._order({"op": "leave"})

    async def memory(self) -> tuple[int, int]:
        """Return the heap in use and free, after a collection (bytes). Waits until the board answers."""
        if self._process is None:
            raise RuntimeError("the board is not running")
        ident = max(self._memory, default=0) + 1
        answer: asyncio.Future[tuple[int, int]] = asyncio.get_running_loop().create_future()
        self._memory[ident] = answer
        self._order({"op": "memory", "id": ident})
        return await answer

    def read_memory(self, answer: Callable[[int, int], None]) -> None:
        """Call `answer(heap in use, free)` (bytes, after a collection) once the board says; if it does."""

        async def ask() -> None:
            with contextlib.suppress(ConnectionError):
                answer(*await self.memory())

        task = asyncio.get_running_loop().create_task(ask())
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    # --- the channel ------------------------------------------------------------------------------------

    def _order(self, order: dict[str, object]) -> None:
        if self._process is not None:
            self._process.send(json.dumps(order).encode() + b"\n")

    def _read_control(self) -> None:
        assert self._process is not None
        process = self._process
        events, alive = process.events()
        for event in events:
            self._take_event(event)
        if not alive and process is self._process:  # nobody has ended it because of what it told
            self._reap()

    def _take_event(self, event: dict[str, Any]) -> None:
        name = str(event.pop("ev"))
        if name == "reset":
            self._next_cause = int(event["cause"])
            self._asleep_ms = int(event.get("asleep_ms", 0))
            return
        if name == "memory":
            waiting = self._memory.pop(int(event["id"]), None)
            if waiting is not None and not waiting.done():
                waiting.set_result((int(event["alloc"]), int(event["free"])))
            return
        if name == "keep":
            self._kept.take(event["name"], event["value"])
            return
        if name == "watchdog":
            self._watchdog_ms = int(event["ms"])
        elif name == "boot":
            self._booted = True
        elif name == "crash":
            lines = str(event["text"]).split("\n")
            event["text"] = "\n".join(self.board.printed(lines, self._root, self._emulator))
        self._listener.event(name, event)

    def _read_output(self) -> None:
        assert self._process is not None
        data = self._process.printed()
        if data is None:
            asyncio.get_running_loop().remove_reader(self._process.output_fd)
            return
        *lines, self._half_line = (self._half_line + data).split(b"\n")
        for line in lines:
            self._print(line)

    def _print(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip("\r")
        for shown in self.board.printed([text], self._root, self._emulator):
            self._listener.output(shown)

    # --- the end of a process ---------------------------------------------------------------------------

    def _reap(self) -> None:
        """Collect the process, which has exited, for the control channel ended; restart if it asked."""
        process = self._process
        if process is None:
            return
        code = process.wait()
        for event in process.events()[0]:  # it may have been killed with both channels full
            self._take_event(event)
        while data := process.printed():
            self._half_line += data
        for line in self._half_line.split(b"\n"):
            if line:
                self._print(line)
        loop = asyncio.get_running_loop()
        for descriptor in (process.control, process.output_fd):
            loop.remove_reader(descriptor)
        process.close()
        self._process = None
        self._cancel_timer()
        for answer in self._memory.values():
            if not answer.done():
                answer.set_exception(ConnectionError("the board stopped before it answered"))
        self._memory.clear()
        self._tell_end(code)

    def _tell_end(self, code: int) -> None:
        if self._killed:
            self._listener.stopped("kill")
            return
        cause = self._next_cause
        if code == -signal.SIGALRM:
            cause = boards.WDT_RESET
        if cause != boards.SOFT_RESET:
            self.stopping()
        if cause is not None:
            self._listener.stopped(RESETS.get(cause, "reset"))
            if self._asleep_ms < 0:
                return
        else:
            how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
            self._listener.stopped(f"died: {how}")
            if not self._booted:  # the emulator's own fault, and the same the next time
                return
            cause = boards.HARD_RESET  # after a fatal error of MicroPython the chip restarts
        self._timer = asyncio.get_running_loop().call_later(
            RESTART_S + self._asleep_ms / 1e3, self.start, cause
        )

    def _watchdog_bites(self) -> None:
        if self._process is not None:
            self._next_cause = boards.WDT_RESET
            self._process.signal(signal.SIGKILL)
            self._reap()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
