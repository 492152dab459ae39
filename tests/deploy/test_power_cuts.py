"""A power cut at every write boundary of a deploy and within every write: the board boots and reports.

One deploy is recorded. Then a board boots on every state in which a cut could have left the flash, and the
broker must hear it say `ready`, with the old version or the new one.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from dcompute_sim.deploy import board_plan as plan
from dcompute_sim.deploy.cli import app
from dcompute_sim.fwbuild.compile import compile_firmware
from dcompute_sim.micropython.board import Board
from dcompute_sim.micropython.compiled import shim_sources
from dcompute_sim.micropython.provision import Emulator, mpy_cross
from dcompute_sim.virtual_boards.flash_log import Cut, FlashState, load, read, save, states
from dcompute_sim.virtual_boards.serial import PtyPort
from dcompute_sim.virtual_boards.virtual_board import VirtualBoard
from typer.testing import CliRunner

from dcompute.master_transport import MasterNodeTransport

from .conftest import Command, Desk

SIDE_BY_SIDE = 32
PATIENCE_S = 60.0
AIR = {"scan_ms": 1, "join_ms": 1, "dhcp_ms": 1}
CONFIG = """\
WIFI_SSID = "workshop"
WIFI_PASSWORD = "hammer and tongs"
STATIC_IP = None
MQTT_HOST = "127.0.0.1"
MQTT_PORT = {port}
MQTT_USER = None
MQTT_PASSWORD = None
MQTT_TLS = False
NODE_TYPE = "ESP32"
POLL_MS = 20
"""


class Boots:
    """Boots boards on states of a flash, some side by side, and hears at the broker what they report."""

    def __init__(self, desk: Desk, emulator: Emulator) -> None:
        self._desk = desk
        self._emulator = emulator

    def versions(self, flashes: Sequence[tuple[Cut, FlashState]], first: int = 100) -> list[tuple[Cut, str]]:
        """What each came up with: its version, `None` (before there were versions), or `dead`."""
        with MasterNodeTransport("127.0.0.1", self._desk.port) as master:
            return asyncio.run_coroutine_threadsafe(
                self._all(flashes, first, master), self._desk.loop
            ).result(PATIENCE_S * 4)

    async def _all(
        self, flashes: Sequence[tuple[Cut, FlashState]], first: int, master: MasterNodeTransport
    ) -> list[tuple[Cut, str]]:
        places = asyncio.Semaphore(SIDE_BY_SIDE)

        async def one(number: int, flash: FlashState) -> str:
            async with places:
                return await self._boot(number, flash, master)

        found = await asyncio.gather(*(one(first + n, flash) for n, (_, flash) in enumerate(flashes)))
        return [(cut, version) for (cut, _), version in zip(flashes, found, strict=True)]

    async def _boot(self, number: int, flash: FlashState, master: MasterNodeTransport) -> str:
        root = self._desk.folder / f"boot-{number}"
        save(flash, root)
        uid = bytes([2, 0, 0, 0, *divmod(number, 256)])
        board = VirtualBoard(
            self._emulator, Board(uid, (), radio=AIR), root, PtyPort(), broker=("127.0.0.1", self._desk.port)
        )
        await board.plug_in()
        try:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    info = master.get_node_info(uid.hex())
                    if isinstance(info, dict) and info["status"] == "ready":
                        return str(info["capabilities"].get("version"))
                    if board.idle:  # its program has ended: nobody will ever hear of it
                        return "dead"
                    await asyncio.sleep(0.01)
        except TimeoutError:
            return "dead"
        finally:
            await board.close()
            shutil.rmtree(root)


@pytest.fixture
def boots(desk: Desk, emulator: Emulator) -> Boots:
    return Boots(desk, emulator)


@pytest.fixture(scope="module")
def flat(bench: Desk, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A flash with the firmware as `mpremote cp` would put it: no slots."""
    folder = tmp_path_factory.mktemp("flat")
    compile_firmware(mpy_cross(), folder, built_in=shim_sources())
    (folder / "config.py").write_text(CONFIG.format(port=bench.port))
    return folder


@pytest.fixture(scope="module")
def slots(bench: Desk, flat: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A flash to which version `one` was deployed."""
    bench.folder = tmp_path_factory.mktemp("slots")
    root: Path = bench.root("flash", flat)
    try:
        result = CliRunner().invoke(
            app, ["--port", bench.plug_in(root).address, "--compile", "--version", "one"]
        )
        assert result.exit_code == 0, result.output
        # `ready` is heard a moment before the board writes down that the trial is over
        bench.until(lambda: (root / "slot").read_text().split()[1:] == ["-", "0"])
    finally:
        bench.unplug_all()
    return root


def record(
    desk: Desk, command: Command, root: Path, version: str, *more: Any
) -> list[tuple[Cut, FlashState]]:
    """Every flash that a power cut could leave while this version is deployed."""
    before, log = load(root), desk.folder / f"{version}.log"
    board = desk.plug_in(root, flash_log=log)
    desk.until(lambda: not board.idle)
    command("--port", board.address, "--compile", "--version", version, *more)
    desk.unplug_all()
    return list(states(read(log), before))


def test_the_first_deploy_onto_a_flat_board(desk: Desk, command: Command, boots: Boots, flat: Path) -> None:
    flashes = record(desk, command, desk.root("flash", flat), "one")
    found = boots.versions(flashes)
    assert [(cut, version) for cut, version in found if version not in ("None", "one")] == []
    assert (found[0][1], found[-1][1]) == ("None", "one")


def test_a_new_version_in_place_of_an_old_one(
    desk: Desk, command: Command, boots: Boots, slots: Path
) -> None:
    own = desk.folder / "tasks.py"
    own.write_text("def handle(task):\n    return 'mine'\n")
    flashes = record(desk, command, desk.root("flash", slots), "two", "--file", own)
    found = boots.versions(flashes)
    assert [(cut, version) for cut, version in found if version not in ("one", "two")] == []
    assert (found[0][1], found[-1][1]) == ("one", "two")


def test_written_in_place_a_cut_would_leave_dead_boards(
    desk: Desk, command: Command, boots: Boots, slots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the two tests above would show if the version went into the slot that boots."""
    monkeypatch.setattr(plan, "choose_slot", lambda now, seen, manifest: (now.current, None))
    own = desk.folder / "tasks.py"
    own.write_text("def handle(task):\n    return 'mine'\n")
    root = desk.root("flash", slots)
    (root / "main_before.py").unlink()  # else the board would be saved by that
    flashes = record(desk, command, root, "two", "--file", own)
    within_writes = [(cut, flash) for cut, flash in flashes if cut.bytes]
    assert "dead" in {version for _, version in boots.versions(within_writes)}
