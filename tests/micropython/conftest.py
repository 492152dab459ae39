"""What every emulator test starts from. Nothing skips: a machine without MicroPython must fail loudly."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import simpy
from dcompute_sim.engines.virtual_broker import ModelBroker
from dcompute_sim.micropython.board import Board
from dcompute_sim.micropython.lockstep import LockstepBoard
from dcompute_sim.micropython.process import FirmwareProcess
from dcompute_sim.micropython.provision import Emulator
from dcompute_sim.net.network import Network

from ..conftest import PATIENCE_S, News

RunsWith = Callable[[str], list[str]]

UID = bytes([0x02, 0, 0, 0, 0x01, 0x07])


class Recorder:
    """A listener that keeps all it is told; `wait` sleeps until a condition on it holds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.lines: list[str] = []
        self.happened: list[tuple[str, Any]] = []
        self.times: list[tuple[float, str]] = []
        self._now = now
        self._news = News(lambda: self.happened)

    def _add(self, kind: str, value: Any) -> None:
        self.happened.append((kind, value))
        self.times.append((round(self._now(), 6), f"{kind} {value}"))
        self._news.tell()

    def started(self, boot: int, reset_cause: int) -> None:
        self._add("started", (boot, reset_cause))

    def stopped(self, how: str) -> None:
        self._add("stopped", how)

    def output(self, line: str) -> None:
        self.lines.append(line)
        self._add("line", line)

    def event(self, name: str, fields: dict[str, Any]) -> None:
        self._add(name, fields)

    def all(self, kind: str) -> list[Any]:
        """Values of all that happened of this kind."""
        return [value for name, value in self.happened if name == kind]

    async def wait(self, condition: Callable[..., Any]) -> None:
        """Until `condition()` holds; fails with all that was recorded when it does not in time."""
        await self._news.until(condition, PATIENCE_S)

    async def wait_line(self, start: str) -> str:
        """The first line that begins with `start`."""
        await self.wait(lambda: any(line.startswith(start) for line in self.lines))
        return next(line for line in self.lines if line.startswith(start))


class RealRig:
    """Boards in real time for one test."""

    def __init__(self, emulator: Emulator, folder: Path) -> None:
        self._emulator = emulator
        self._folder = folder

    def board(self, program: str, **settings: Any) -> Board:
        """A board whose main.py is `program`."""
        main = self._folder / "main.py"
        main.write_text(textwrap.dedent(program))
        return Board(**{"uid": UID, "files": [main]} | settings)

    @asynccontextmanager
    async def running(self, program: str, **settings: Any) -> AsyncIterator[tuple[FirmwareProcess, Recorder]]:
        """A started board and what it tells."""
        heard = Recorder(asyncio.get_running_loop().time)
        process = FirmwareProcess(self._emulator, self.board(program, **settings), heard)
        try:
            process.start()
            yield process, heard
        finally:
            process.close()

    def lines(self, program: str, until: str = "done", **settings: Any) -> list[str]:
        """What `program` prints up to the line that begins with `until`."""

        async def go() -> list[str]:
            async with self.running(program, **settings) as (_, heard):
                await heard.wait_line(until)
                return heard.lines

        return asyncio.run(go())


class VirtualRig:
    """Boards, a network and a broker in virtual time for one test."""

    def __init__(self, emulator: Emulator, folder: Path, latency_s: float = 0.005) -> None:
        self.env = simpy.Environment()
        self.network = Network(self.env, 1, latency_s)
        self.boards: list[LockstepBoard] = []
        self.emulator = emulator
        self._folder = folder

    def add(
        self, program: str | Path, name: str = "node-1", **settings: Any
    ) -> tuple[LockstepBoard, Recorder]:
        """A board, not started, whose main.py is `program`."""
        main = program
        if isinstance(program, str):
            main = self._folder / name / "main.py"
            main.parent.mkdir(exist_ok=True)
            main.write_text(textwrap.dedent(program))
        heard = Recorder(lambda: float(self.env.now))
        board = Board(**{"uid": UID, "files": [main]} | settings)
        made = LockstepBoard(self.env, self.network.host(name), self.emulator, board, heard)
        self.boards.append(made)
        return made, heard

    def run(self, until_s: float) -> None:
        """Let virtual time pass."""
        self.env.run(until=until_s)

    def serve_mqtt(self) -> None:
        """The broker model on a host of the network."""
        ModelBroker(self.network.host("broker"), self.network.clock).start()

    def close(self) -> None:
        for board in self.boards:
            board.close()


@pytest.fixture
def real(emulator: Emulator, tmp_path: Path) -> RealRig:
    return RealRig(emulator, tmp_path)


@pytest.fixture
def virtual(emulator: Emulator, tmp_path: Path) -> Iterator[VirtualRig]:
    rig = VirtualRig(emulator, tmp_path)
    yield rig
    rig.close()


@pytest.fixture(params=["real", "virtual"])
def lines(request: pytest.FixtureRequest) -> RunsWith:
    """Runs a program up to "done", in real and in virtual time; what it printed."""
    rig = request.getfixturevalue(request.param)
    if request.param == "real":
        really: RunsWith = rig.lines
        return really

    def run(program: str) -> list[str]:
        board, heard = rig.add(program)
        board.start()
        rig.run(60)
        assert "done" in heard.lines, heard.happened
        found: list[str] = heard.lines
        return found

    return run


@pytest.fixture
def virtual_rig(emulator: Emulator, tmp_path: Path) -> Callable[[], AbstractContextManager[VirtualRig]]:
    """Makes rigs, for tests that compare several runs; each is closed at the end of its `with`."""

    @contextmanager
    def make() -> Iterator[VirtualRig]:
        rig = VirtualRig(emulator, tmp_path)
        try:
            yield rig
        finally:
            rig.close()

    return make


@pytest.fixture
def real_recorder() -> Callable[[], Recorder]:
    """Makes a listener, inside a running loop."""
    return lambda: Recorder(asyncio.get_running_loop().time)
