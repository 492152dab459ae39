"""The chip of a virtual board: MicroPython's unix port with a console, as a process.

It runs boot.py and main.py from its own flash, then the blocks of code it is given. Standard output is what
it prints, standard input what is typed; everything else goes over the control channel. The rules:

1. **What was printed before an event is told before it.** Output and control are two pipes, and the kernel
   keeps no order between two. So at each look output is read first, then the events; and where an event says
   that a program is over, output once more: it was printed before, and is in the pipe by now.
2. **Binary output is never touched.** Files that mpremote reads go out as they are, all other newlines become
   CR LF. The chip encloses the former in marks (`raw`); bytes read just before a mark, or just after one, may
   belong to either side of it, and are then taken for binary: text without its CR is ugly, a file with one
   too many is broken.
3. **Input that a program leaves is the prompt's.** A real board has one UART buffer for both. The reading end
   of the pipe is kept here too, and what is left in it at the end of a program is handed back (`unread`).
4. **An interrupt is never lost.** The chip says that it heard it (`heard`) and lives. One that does not,
   within `_HEARD_S`, was struck where MicroPython's heap stays closed (shims/real/_kernel.py, rule 5), which
   cannot happen on a real chip: it is killed, restarted, and whoever interrupted it gets the prompt he waits
   for.
5. **Whoever listens may end the chip** by what he does about what he is told (`_closed`): nothing is told
   after.

Why a process for each life, and not one that resets itself: after a power cut, a watchdog's bite or a crash
of MicroPython nothing of it may be left, and the kernel is better at that than any clean-up. Rejected: a
pseudo-terminal between us and the process, with its echo, its signals and its buffer of 4 KiB; the serial
line that others see is `serial.py`'s, with the rate and noise of a line.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from dcompute_sim.micropython import board as boards
from dcompute_sim.micropython.board import Board
from dcompute_sim.micropython.emulator_process import EmulatorProcess
from dcompute_sim.micropython.provision import Emulator

_CHUNK = 65536
HEARD_S = 3.0
"""How long a chip has to say that it heard an interrupt, before it is restarted."""
_PATH = ("", ".frozen", "/lib")  # an ESP32's

Routes = Mapping[tuple[str, int], tuple[str, int]]


class ChipListener(Protocol):
    """Who wants to know what the chip does. All calls come from the loop."""

    def printed(self, data: bytes, binary: bool) -> None:
        """Hear what was printed; `binary`: newlines in it are not to be touched."""

    def ended(self, error: str, left: bool, unread: bytes) -> None:
        """Hear that the program is over; `left`: by SystemExit. `unread` is the input it did not take."""

    def told(self, name: str, fields: dict[str, object]) -> None:
        """Hear what the chip tells: `kbd_intr`, `crash`, `wlan`, `core`, `watchdog`, `bootloader`, ..."""

    def stopped(self, cause: int | None, unheard: bytes | None, asleep_ms: int) -> None:
        """Hear that the process is gone: the cause of the reset that it asked for, or None.

        `asleep_ms`: of deep sleep before it, -1 for ever.

        `unheard`: it died of the interrupt, which its program thus never saw; what was typed after it.
        """


@dataclass(frozen=True)
class Flash:
    """The folder that is the chip's flash, and how much it takes; what changes it is added to `log`.

    `fat`: it takes only names that FAT takes; else littlefs's.
    """

    root: Path
    size_bytes: int
    log: Path | None = None
    fat: bool = False
    routes: Routes = field(default_factory=dict)


class Chip:
    """One life of the chip, from power-on or reset to the end of the process.

    Args:
        entry: the files to run first.
        kept: what outlived its last life.
        power_left: as if `fail_power_after` were called before anything runs.
    """

    def __init__(
        self,
        emulator: Emulator,
        board: Board,
        flash: Flash,
        listener: ChipListener,
        entry: Sequence[str],
        reset_cause: int,
        kept: Mapping[str, object],
        power_left: int | None = None,
    ) -> None:
        self._listener = listener
        self._ident = 0  # of the block that runs or ran last; 0: boot.py and main.py
        self._unended: int | None = 0
        self._binary = False  # the next output may hold bytes that are not text
        self._enclosed = False  # between the marks that say so
        self._cause: int | None = None
        self._asleep_ms = 0
        self._deaf: asyncio.TimerHandle | None = None
        self._struck: int | None = None  # the block that was interrupted last
        self._unheard = 0  # interrupts that the chip has not said to have heard
        self._closed = False
        self._paused = False
        self._loop = asyncio.get_running_loop()
        # We keep the reading end too: what a program leaves unread is for the prompt.
        self._unread_fd, self._input_fd = os.pipe()
        os.set_blocking(self._input_fd, False)
        self._process = EmulatorProcess(
            emulator, board, "real", flash.root, stdin=self._unread_fd, console=True
        )
        self._loop.add_reader(self._process.control, self._pump)
        self._loop.add_reader(self._process.output_fd, self._pump)
        line = _power_on_line(emulator, board, flash, entry, reset_cause, kept)
        line["console"]["power_left"] = power_left
        self._order(line)

    @property
    def pid(self) -> int:
        """The process that it is."""
        return self._process.pid

    @property
    def vanished(self) -> bool:
        """Whether it has stopped by itself as chips do, which ends no connection but in a soft reset."""
        return self._cause != boards.SOFT_RESET and (self._closed or self._process.has_exited)

    # --- orders -------------------------------------------------------------------------------------------

    def run(self, code: bytes, single: bool) -> None:
        """Execute a block; the one before has ended."""
        self._ident += 1
        self._unended = self._ident
        self._order({"op": "run", "id": self._ident, "single": single, "n": len(code)}, code)

    def feed(self, data: bytes) -> None:
        """Type for the program that runs; what its buffer does not hold is lost, as on a board."""
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(self._input_fd, data)

    def interrupt(self) -> None:
        """Raise KeyboardInterrupt in the program that runs.

        A chip whose heap it left unusable (struck inside the allocator) is restarted, as a watchdog would.
        """
        if self._struck == self._ident and self._unheard:
            return
        self._struck = self._ident
        self._unheard += 1
        self._no_deadline()
        self._deaf = self._loop.call_later(HEARD_S, self._deaf_now)
        self._order({"op": "interrupt", "id": self._ident})

    def _no_deadline(self) -> None:
        if self._deaf is not None:
            self._deaf.cancel()
            self._deaf = None

    def fail_power_after(self, steps: int | None) -> None:
        """Let the power fail after so many bytes written to the flash (other changes to it count as one).

        What is left of them is told as `power_left`.
        """
        self._order({"op": "power_cut", "after": steps})

    def radio(self, **changes: object) -> None:
        """Change the air around the board (keys: class Radio in shims/network.py)."""
        self._order({"op": "radio", "set": changes})

    def pause(self, paused: bool) -> None:
        """Take no more output for the moment: the line is slower than the program."""
        if paused == self._paused or self._closed:
            return
        self._paused = paused
        if paused:
            self._loop.remove_reader(self._process.output_fd)
        else:
            self._loop.add_reader(self._process.output_fd, self._pump)

    def kill(self) -> None:
        """Switch off; the listener hears nothing more, but how long the power would have lasted."""
        if not self._closed:
            self._process.signal(signal.SIGKILL)
            self._process.wait()
            for event in self._process.events()[0]:
                if event["ev"] == "power_left":
                    self._listener.told("power_left", event)
            self._reap()

    def _order(self, order: dict[str, object], data: bytes = b"") -> None:
        if self._closed:
            return
        self._process.send(json.dumps(order).encode() + b"\n" + data, may_wait=True)

    def _deaf_now(self) -> None:
        self._deaf = None
        self._process.signal(signal.SIGKILL)

    # --- what it says -------------------------------------------------------------------------------------

    def _pump(self) -> None:
        printed = b"" if self._paused else self._process.printed() or b""
        events, alive = self._process.events()
        raw = any(event["ev"] == "raw" for event in events)
        binary = raw or self._binary
        if not self._paused:
            # What these marks enclose may have been printed after we looked: it is in the pipe by now.
            self._binary = raw
        else:
            self._binary = binary
        if not alive or any(event["ev"] in ("done", "reset", "power_failed") for event in events):
            printed += self._process.printed() or b""  # printed before the event, and perhaps not there yet
            self._binary = False
        for event in events:
            if event["ev"] == "raw":
                self._enclosed = bool(event["on"])
            elif event["ev"] == "kbd_intr":  # before the bytes that ask for an answer go out
                self._listener.told("kbd_intr", event)
        self._binary = self._binary or self._enclosed
        if printed:
            self._listener.printed(printed, binary)
        for event in events:
            if self._closed:  # what was told before ended it
                return
            self._take(event)
        if not alive and not self._closed:
            unread = self._take_unread()
            self._reap()
            died_of_it = self._cause is None and self._struck is not None and self._struck == self._unended
            self._listener.stopped(self._cause, unread if died_of_it else None, self._asleep_ms)

    def _take(self, event: dict[str, Any]) -> None:
        name = event["ev"]
        if name == "done":
            if event["id"] != self._unended:  # told twice
                return
            self._unended = None
            self._listener.ended(str(event["error"]), bool(event["exit"]), self._take_unread())
        elif name == "reset":
            self._cause = int(event["cause"])
            self._asleep_ms = int(event.get("asleep_ms", 0))
        elif name == "heard":  # perhaps after the end of the block
            self._unheard -= 1
            if not self._unheard:
                self._no_deadline()
        elif name not in ("raw", "kbd_intr"):
            self._listener.told(str(name), event)

    def _take_unread(self) -> bytes:
        unread = b""
        while select.select([self._unread_fd], [], [], 0)[0]:
            unread += os.read(self._unread_fd, _CHUNK)
        return unread

    def _reap(self) -> None:
        self._closed = True
        self._no_deadline()
        self._loop.remove_reader(self._process.control)
        self._loop.remove_reader(self._process.output_fd)
        if self._process.wait() == -signal.SIGALRM:
            self._cause = boards.WDT_RESET
        self._process.close()
        os.close(self._unread_fd)
        os.close(self._input_fd)


def _power_on_line(
    emulator: Emulator,
    board: Board,
    flash: Flash,
    entry: Sequence[str],
    reset_cause: int,
    kept: Mapping[str, object],
) -> dict[str, Any]:
    line: dict[str, object] = json.loads(board.power_on(reset_cause, emulator.umqtt, kept))
    line["console"] = {
        "root": str(flash.root),
        "flash_bytes": flash.size_bytes,
        "log": str(flash.log.resolve()) if flash.log else None,
        "fat": flash.fat,
        "path": _PATH,
        "entry": list(entry),
        "routes": [[list(there), list(via)] for there, via in flash.routes.items()],
    }
    return line
