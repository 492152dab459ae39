"""A virtual board: chip, flash, serial line and Wi-Fi link put together, and what a person can do to them.

Nothing here knows mpremote: it works against this as it does against a board, or this is wrong.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from dcompute_sim.micropython import board as chips
from dcompute_sim.micropython.board import Board
from dcompute_sim.micropython.kept import Kept
from dcompute_sim.micropython.provision import Emulator
from dcompute_sim.net.proxy import FaultProxy
from dcompute_sim.virtual_boards.chip import Chip, Flash
from dcompute_sim.virtual_boards.repl import Action, Feed, Interrupt, Repl, Run, Say, SoftReset
from dcompute_sim.virtual_boards.serial import Line, SerialPort

_RESET_CODES = {  # what the ROM prints, as esptool's documentation lists them
    chips.PWRON_RESET: "rst:0x1 (POWERON_RESET)",
    chips.HARD_RESET: "rst:0xc (SW_CPU_RESET)",
    chips.WDT_RESET: "rst:0x8 (TG1WDT_SYS_RESET)",
    chips.DEEPSLEEP_RESET: "rst:0x5 (DEEPSLEEP_RESET)",
}


class BoardWatcher(Protocol):
    """Who wants to know what befalls the board beside what its serial line says."""

    def happened(self, name: str, fields: dict[str, object]) -> None:
        """Hear of `power_on`, `power_off`, `reset`, and what the chip tells (see `chip.Listener.told`)."""


class VirtualBoard:
    """An ESP32 on a desk.

    Args:
        board: what it is; its `files` and `config` are not used: what is on the flash is in `root`.
        root: the folder that is the flash; whoever makes the board keeps and removes it.
        flash_log: each change to the flash is added to this file (virtual_boards/flash_log.py).
        fat: its filesystem says it is FAT; else littlefs, as boards come.
        broker: reached through this board's own fault proxy, `link`, by whatever name the firmware uses.
    """

    def __init__(
        self,
        emulator: Emulator,
        board: Board,
        root: Path,
        port: SerialPort,
        *,
        flash_bytes: int = 2 * 1024 * 1024,
        flash_log: Path | None = None,
        fat: bool = False,
        baud: int | None = None,
        noise: float = 0.0,
        broker: tuple[str, int] | None = None,
        watcher: BoardWatcher | None = None,
    ) -> None:
        self.link = FaultProxy(board.uid.hex(), broker) if broker else None
        self.line = Line(port, self._received, self._crowded, baud, noise, board.seed)
        version = ".".join(map(str, emulator.version))
        self.repl = Repl(f"MicroPython v{version} (emulated); Generic ESP32 module with ESP32")
        self._emulator = emulator
        self._board = board
        self._flash = Flash(root.resolve(), flash_bytes, flash_log, fat)
        self._watcher = watcher
        self._chip: Chip | None = None
        self._power_left: int | None = None
        self._kept = Kept(board.clock_start_us)
        self._asleep = False
        self._alarm: asyncio.TimerHandle | None = None
        if self.link is not None:
            self.link.chip(lambda: self._chip is None or self._chip.vanished)

    @property
    def address(self) -> str:
        """What `mpremote connect` is to be given; another one after `replug` of a pseudo-terminal."""
        return self.line.port.address

    @property
    def node_id(self) -> str:
        """The chip's unique id, which our firmware goes by unless its config.py says otherwise."""
        return self._board.uid.hex()

    @property
    def powered(self) -> bool:
        """Whether the chip runs, or sleeps."""
        return self._chip is not None or self._asleep

    @property
    def pid(self) -> int:
        """The process that is the chip; 0: no power."""
        return self._chip.pid if self._chip is not None else 0

    @property
    def idle(self) -> bool:
        """At its prompt."""
        return self.powered and not self.repl.running

    # --- what a person does -------------------------------------------------------------------------------

    async def plug_in(self) -> None:
        """Connect the cable and so the power."""
        if self.link is not None and not self.link.port:
            await self.link.start()
        await self.line.open()
        self.power_on()

    async def unplug(self) -> None:
        """Pull the cable out: no power, and the port is gone."""
        self.power_off()
        await self.line.close()

    async def close(self) -> None:
        """End the board; its folder stays."""
        await self.unplug()
        if self.link is not None:
            await self.link.close()

    def power_on(self) -> None:
        """Start the chip."""
        if not self.powered:
            own(self._flash.root)
            if self.link is not None:
                self.link.up()
            self._tell("power_on")
            self._start(chips.PWRON_RESET)

    def power_off(self) -> None:
        """Cut the power: the broker hears nothing of it."""
        if self.powered:
            if self.link is not None:
                self.link.down()
                self.link.forget()
            self._end_chip()
            self._tell("power_off")

    def reset(self) -> None:
        """Press the reset button."""
        if self.powered:
            self._vanish()
            self._end_chip()
            self._start(chips.HARD_RESET)

    def _vanish(self) -> None:
        """Have whoever the chip was connected with hear nothing of its end."""
        if self.link is not None:
            self.link.forget()

    def _end_chip(self) -> None:
        chip, self._chip = self._chip, None
        if chip is not None:
            chip.kill()
        if self._alarm is not None:
            self._alarm.cancel()
        self._asleep, self._alarm = False, None

    def fail_power_after(self, steps: int | None) -> None:
        """Let the power fail when so many more bytes have been written to the flash, over resets too.

        Making, removing or renaming a file or folder counts as one byte and happens as a whole or not at all.
        None: it does not fail after all.
        """
        self._power_left = steps
        if self._chip is not None:
            self._chip.fail_power_after(steps)

    def radio(self, **changes: object) -> None:
        """Change the air around the board, for this life and those to come.

        Keys: class Radio in shims/network.py, e.g. `ap=False`, `password="another"`.
        """
        self._board = replace(self._board, radio={**self._board.radio, **changes})
        if self._chip is not None:
            self._chip.radio(**changes)

    # --- starting -----------------------------------------------------------------------------------------

    def _start(self, cause: int) -> None:
        self._asleep, self._alarm = False, None
        if cause == chips.SOFT_RESET:
            self.repl.started()
        else:
            self.repl.power_on()
            if self.link is not None:
                self.link.rebooted()
            self.line.send(f"ets Jul 29 2019 12:21:46\r\n\r\n{_RESET_CODES[cause]}\r\n".encode())
        self._tell("reset", cause=cause)
        entry = ["boot.py"] if self.repl.raw else ["boot.py", "main.py"]
        routes = {self.link.upstream: ("127.0.0.1", self.link.port)} if self.link is not None else {}
        flash = replace(self._flash, routes=routes)
        kept = self._kept.start(cause, asyncio.get_running_loop().time())
        self._chip = Chip(self._emulator, self._board, flash, self, entry, cause, kept, self._power_left)

    # --- between line and chip ----------------------------------------------------------------------------

    def _received(self, data: bytes) -> None:
        if self._chip is not None:
            self._do(self.repl.received(data))

    def _do(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Say(data):
                    self.line.send(data)
                case Run(code, single):
                    self._chip_on().run(code, single)
                case Feed(data):
                    self._chip_on().feed(data)
                case Interrupt():
                    self._chip_on().interrupt()
                case SoftReset():
                    self._chip_on().kill()
                    self._start(chips.SOFT_RESET)

    def _chip_on(self) -> Chip:
        assert self._chip is not None
        return self._chip

    def _crowded(self, full: bool) -> None:
        if self._chip is not None:
            self._chip.pause(full)

    # --- the chip's listener ------------------------------------------------------------------------------

    def printed(self, data: bytes, binary: bool) -> None:
        self.line.send(data if binary else data.replace(b"\n", b"\r\n"))

    def ended(self, error: str, left: bool, unread: bytes) -> None:
        if left:  # SystemExit is a soft reset on a board
            self.line.send(b"MPY: soft reboot\r\n")
            self._chip_on().kill()
            self._start(chips.SOFT_RESET)
            return
        self._tell("ended", error=error)
        self._do(self.repl.ended(error, unread))

    def told(self, name: str, fields: dict[str, Any]) -> None:
        if name == "kbd_intr":
            self.repl.interrupt_char = int(fields["char"])
        elif name == "keep":
            self._kept.take(fields["name"], fields["value"])
        elif name == "power_left":
            self._power_left = int(fields["steps"])
        elif name == "power_failed":
            self._power_left = None
            self.power_off()
        else:
            self._tell(name, **{key: value for key, value in fields.items() if key != "ev"})

    def stopped(self, cause: int | None, unheard: bytes | None, asleep_ms: int) -> None:
        if self._chip is None:  # the power went
            return
        if cause != chips.SOFT_RESET:
            self._vanish()
        if asleep_ms:
            self._chip = None
            self._asleep = True
            self._tell("asleep", ms=asleep_ms)
            if asleep_ms > 0:
                loop = asyncio.get_running_loop()
                self._alarm = loop.call_later(asleep_ms / 1e3, self._start, chips.DEEPSLEEP_RESET)
            return
        if cause == chips.SOFT_RESET:
            self.line.send(b"MPY: soft reboot\r\n")
        self._start(chips.WDT_RESET if cause is None else cause)  # an unexplained death is the chip's panic
        if unheard is not None:  # whoever interrupted it waits for the prompt
            self._chip_on().interrupt()
            self._chip_on().feed(unheard)

    def _tell(self, name: str, /, **fields: object) -> None:
        if self._watcher is not None:
            self._watcher.happened(name, fields)


def own(root: Path) -> None:
    """Put copies in place of links: a board that overwrites its file must not reach beyond its flash."""
    for place in root.rglob("*"):
        if place.is_symlink():
            content = place.read_bytes()
            place.unlink()
            place.write_bytes(content)
