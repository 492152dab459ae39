"""What the virtual board's tests start from: a board in this process, the real mpremote as a subprocess."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from dcompute_sim.micropython.board import Board
from dcompute_sim.micropython.provision import Emulator
from dcompute_sim.virtual_boards.serial import PtyPort
from dcompute_sim.virtual_boards.virtual_board import VirtualBoard

from ..conftest import PATIENCE_S, News


class Said:
    """All that came out of one mpremote."""

    def __init__(self, status: int, out: str) -> None:
        self.status = status
        self.out = out.replace("\r\n", "\n")

    def __repr__(self) -> str:
        return f"status {self.status}: {self.out}"


class Desk:
    """A virtual board, what befell it, and mpremote beside it."""

    def __init__(self, make: Callable[[Desk], VirtualBoard], root: Path) -> None:
        self.happenings: list[tuple[str, dict[str, Any]]] = []
        self.root = root
        self._news = News(lambda: self.happenings)
        self.board = make(self)

    def happened(self, name: str, fields: dict[str, Any]) -> None:
        self.happenings.append((name, fields))
        self._news.tell()

    def all(self, name: str) -> list[dict[str, Any]]:
        return [fields for known, fields in self.happenings if known == name]

    def type(self, text: str) -> None:
        """As if it came over the line."""
        self.board.line.received(text.encode())

    async def wait(self, condition: Callable[..., Any]) -> None:
        await self._news.until(condition, PATIENCE_S)

    async def mpremote(self, *words: str, status: int | None = 0, address: str = "") -> Said:
        """Run the real command against the board (or another address); fails unless it exits as expected."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "mpremote",
            "connect",
            address or self.board.address,
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(PATIENCE_S):
                out, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            out, _ = await process.communicate()
            pytest.fail(f"mpremote {words} hangs; it said {out!r}; what happened: {self.happenings}")
        said = Said(process.returncode or 0, out.decode(errors="replace"))
        assert status is None or said.status == status, f"mpremote {words}: {said}"
        return said


MakeDesk = Callable[..., AbstractAsyncContextManager[Desk]]


@pytest.fixture
def desk(emulator: Emulator, tmp_path: Path) -> MakeDesk:
    """`async with desk(**settings) as d`: a board that is plugged in; gone, with its process, afterwards."""

    @asynccontextmanager
    async def make(
        files: dict[str, str] | None = None, port: Any = None, **settings: Any
    ) -> AsyncIterator[Desk]:
        root = tmp_path / "flash"
        root.mkdir(exist_ok=True)
        for name, text in (files or {}).items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        board = Board(bytes([2, 0, 0, 0, 0, 1]), ())
        made = Desk(
            lambda watcher: VirtualBoard(
                emulator, board, root, port or PtyPort(), watcher=watcher, **settings
            ),
            root,
        )
        open_before = len(os.listdir("/proc/self/fd"))
        try:
            await made.board.plug_in()
            yield made
        finally:
            await made.board.close()
        assert len(os.listdir("/proc/self/fd")) <= open_before + 2, "descriptors left open"

    return make
