"""Boots boards on states of a flash, some side by side, and hears at the broker what they report."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

from dcompute_sim.micropython.board import Board
from dcompute_sim.micropython.provision import Emulator
from dcompute_sim.virtual_boards.flash_log import Change, FlashState, read, save
from dcompute_sim.virtual_boards.serial import PtyPort
from dcompute_sim.virtual_boards.virtual_board import VirtualBoard

from dcompute.master_transport import MasterNodeTransport

SIDE_BY_SIDE = 32
PATIENCE_S = 180.0  # a board that will never be heard says so at once: its program ends
AIR = {"scan_ms": 1, "join_ms": 1, "dhcp_ms": 1}
DEAD = "dead"


class Boots:
    """Boots boards on flashes.

    Args:
        loop: the boards live there.
        port: the broker's.

    Attributes:
        wrote: what the board on each flash, by its number, wrote to it until it was heard.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, port: int, folder: Path, emulator: Emulator) -> None:
        self._loop = loop
        self._port = port
        self._folder = folder
        self._emulator = emulator
        self.wrote: dict[int, list[Change]] = {}

    def versions(self, flashes: Sequence[FlashState], first: int = 100, *, log: bool = False) -> list[str]:
        """What each came up with: its version, `None` (before there were versions), or `dead`."""
        with MasterNodeTransport("127.0.0.1", self._port) as master:
            work = self._all(flashes, first, master, log)
            return asyncio.run_coroutine_threadsafe(work, self._loop).result(
                PATIENCE_S * (4 + len(flashes) // SIDE_BY_SIDE)
            )

    async def _all(
        self, flashes: Sequence[FlashState], first: int, master: MasterNodeTransport, log: bool
    ) -> list[str]:
        places = asyncio.Semaphore(SIDE_BY_SIDE)

        async def one(number: int, flash: FlashState) -> str:
            async with places:
                return await self._boot(number, flash, master, log)

        return await asyncio.gather(*(one(first + n, flash) for n, flash in enumerate(flashes)))

    async def _boot(self, number: int, flash: FlashState, master: MasterNodeTransport, log: bool) -> str:
        root = self._folder / f"boot-{number}"
        save(flash, root)
        written: Path | None = self._folder / f"boot-{number}.log" if log else None
        uid = bytes([2, 0, 0, 0, *divmod(number, 256)])
        board = VirtualBoard(
            self._emulator,
            Board(uid, (), radio=AIR),
            root,
            PtyPort(),
            flash_log=written,
            broker=("127.0.0.1", self._port),
        )
        await board.plug_in()
        try:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    info = master.get_node_info(uid.hex())
                    if isinstance(info, dict) and info["status"] == "ready":
                        return str(info["capabilities"].get("version"))
                    if board.idle:  # its program has ended: nobody will ever hear of it
                        return DEAD
                    await asyncio.sleep(0.01)
        except TimeoutError:
            return DEAD
        finally:
            await board.close()
            if written is not None:
                self.wrote[number] = read(written)
                written.unlink()
            shutil.rmtree(root)
