"""A power cut at every operation on the flash, and in the middle of it, with MicroPython's own filesystems.

What a deploy, an update over the air and a rollback write is done again on a block device, block by block
(`virtual_boards.block_flash`); what a cut leaves is mounted and read. Each flash that is read so is booted,
once for all cuts that leave the same files. Then the same for a second cut, while the board writes what it
writes when it boots on what the first one left.

`DCOMPUTE_FLASH_EVERY=1` tries every operation of a first deploy, one that is taken back, a redeploy,
an update over the air and a rollback, on littlefs and FAT, and prints how many flashes these were (`-s`);
without it a few of the update's are tried.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from dcompute_sim.fwbuild.firmware_files import product
from dcompute_sim.micropython.provision import Emulator
from dcompute_sim.virtual_boards.block_flash import BlockCut, BlockFlash, Kind
from dcompute_sim.virtual_boards.flash_log import Change, FlashState, load, read

from dcompute.bundle import Bundle
from dcompute.master_transport import MasterNodeTransport
from dcompute.update_keys import board_key
from dcompute.updates import UpdateState

from .boots import DEAD, Boots
from .conftest import Command, Desk

EVERY = int(os.environ.get("DCOMPUTE_FLASH_EVERY", "0"))
"""Try one operation in so many; 0: few, and of an update on littlefs only."""
WHAT = ("first_deploy", "undone", "redeploy", "update", "rollback") if EVERY else ("update",)
KINDS: tuple[Kind, ...] = ("lfs2", "fat") if EVERY else ("lfs2",)
BROKEN = b"raise RuntimeError('broken')\n"
KEY = board_key(bytes(32), "020000000001")


class Judge:
    """Boots what cuts leave, each kind of flash once."""

    def __init__(self, emulator: Emulator, boots: Boots) -> None:
        self._emulator = emulator
        self._boots = boots
        self._version_of: dict[str, str] = {}
        self._wrote: dict[str, Sequence[Change]] = {}
        self.images: set[str] = set()  # of flashes that were read, no two alike in all their bytes

    def dead(self, kind: Kind, before: FlashState, changes: Sequence[Change]) -> list[str]:
        """The cuts, and second cuts, after which a board does not report."""
        made = BlockFlash(self._emulator, kind)
        # FAT writes 4 KiB where littlefs writes 128 bytes.
        every = EVERY or 800 if kind == "lfs2" else -(-EVERY // 10)
        found = list(made.cuts(before, changes, every))
        dead = self._judge(f"{kind}:", found)
        first: dict[str, tuple[BlockCut, FlashState]] = {}
        for cut, flash in found:
            if flash is not None:
                first.setdefault(_key(flash), (cut, flash))
        # where a board that boots writes
        later = {cut: wrote for key, (cut, _) in first.items() if (wrote := self._wrote.get(key, ()))}
        second = made.again(before, changes, later, EVERY or 60)
        return dead + self._judge(f"{kind}: a second time:", list(second))

    def flipped(self, before: FlashState, changes: Sequence[Change]) -> int:
        """Let a bit flip in what is written, unseen, and all go on: littlefs has to notice."""
        made = BlockFlash(self._emulator, "lfs2")
        (*_, (_, sound)) = made.cuts(before, changes, 1_000_000)
        operations = range(1, made.operations + 1, 10 * EVERY or 400)
        for cut, flash in made.flipped(before, changes, operations):
            assert flash == sound, cut
        return len(operations)

    def _judge(self, where: str, found: Sequence[tuple[BlockCut, FlashState | None]]) -> list[str]:
        self.images |= {cut.image for cut, _ in found}
        new = {
            _key(flash): flash
            for _, flash in found
            if flash is not None and _key(flash) not in self._version_of
        }
        start = 100 + len(self._version_of)
        versions = self._boots.versions(list(new.values()), start, log=True)
        for number, (key, version) in enumerate(zip(new, versions, strict=True)):
            self._version_of[key] = version
            self._wrote[key] = self._boots.wrote[start + number]
        return [
            f"{where} {cut}: {'cannot be mounted' if flash is None else DEAD}"
            for cut, flash in found
            if flash is None or (self._version_of[_key(flash)] == DEAD)
        ]


def _key(flash: FlashState) -> str:
    return json.dumps(sorted((path, None if data is None else data.hex()) for path, data in flash.items()))


@pytest.fixture
def kind() -> Kind:
    return "lfs2"


@pytest.fixture(scope="session")
def tally() -> set[str]:
    """All flashes that were read, of all tests."""
    return set()


@pytest.fixture
def judge(emulator: Emulator, boots: Boots) -> Judge:
    return Judge(emulator, boots)


Written = tuple[FlashState, list[Change]]


@pytest.fixture
def first_deploy(desk: Desk, command: Command, flat: Path, kind: Kind) -> Written:
    return _deployed(desk, command, desk.root("flash", flat), kind)


@pytest.fixture
def undone(desk: Desk, command: Command, flat: Path, kind: Kind) -> Written:
    """A first deploy of a version that does not come up, and the way back, to a program that needs its own
    boot.py: it finds its config.py by that."""
    root = desk.root("flash", flat)
    (root / "boot.py").write_text("import sys\nsys.path.append('/mine')")
    (root / "mine").mkdir()
    config = (root / "config.py").rename(root / "mine" / "config.py")
    broken = desk.folder / "main.py"
    broken.write_bytes(BROKEN)
    return _deployed(
        desk, command, root, kind, "--config", config, "--file", broken, "--timeout", "5", status=1
    )


@pytest.fixture
def redeploy(desk: Desk, command: Command, slots: Path, kind: Kind) -> Written:
    own = desk.folder / "tasks.py"
    own.write_text("def handle(task):\n    return 'mine'\n")
    return _deployed(desk, command, desk.root("flash", slots), kind, "--file", own)


@pytest.fixture
def update(desk: Desk, slots: Path, kind: Kind) -> Written:
    return _updated(desk, slots, kind, {}, UpdateState.CONFIRMED)


@pytest.fixture
def rollback(desk: Desk, slots: Path, kind: Kind) -> Written:
    """An update to a version that does not come up, and the way back from it."""
    return _updated(desk, slots, kind, {"main.py": BROKEN}, UpdateState.ROLLED_BACK)


def _deployed(desk: Desk, command: Command, root: Path, kind: Kind, *more: Any, status: int = 0) -> Written:
    before, log = load(root), desk.folder / "deploy.log"
    board = desk.plug_in(root, flash_log=log, fat=kind == "fat")
    desk.until_ready(board.node_id)
    command("--port", board.address, "--compile", "--version", "new", *more, status=status)
    desk.unplug_all()
    return before, read(log)


def _updated(desk: Desk, slots: Path, kind: Kind, files: dict[str, bytes], ends: UpdateState) -> Written:
    root = desk.root("flash", slots)
    (root / "update.key").write_bytes(KEY)
    before, log = load(root), desk.folder / "update.log"
    ours = Bundle.from_folder(product())
    bundle = Bundle("new", {**ours.files, "tasks.py": b"def handle(task): return 1\n"} | files, 20, 2)
    board = desk.plug_in(root, flash_log=log, fat=kind == "fat")
    with MasterNodeTransport("127.0.0.1", desk.port) as master:
        desk.until(lambda: master.get_nodes_by_status("ready"))
        master.update_node(board.node_id, bundle, KEY)
        desk.until(lambda: master.updates()[0].over)
        assert master.updates()[0].state is ends, master.updates()[0]
        desk.until(lambda: (root / "slot").read_text().split()[1:] == ["-", "0"])
    desk.unplug_all()
    return before, read(log)


@pytest.mark.timeout(0 if EVERY else 300)
@pytest.mark.parametrize("written", WHAT)
@pytest.mark.parametrize("kind", KINDS)
def test_a_board_reports_whatever_a_cut_leaves(
    request: pytest.FixtureRequest, judge: Judge, kind: Kind, written: str, tally: set[str]
) -> None:
    before, changes = request.getfixturevalue(written)
    dead = judge.dead(kind, before, changes)
    tally |= judge.images
    print(
        f"{written} on {kind}: {len(judge.images):,} distinct flashes, {len(dead)} of them dead; "
        f"{len(tally):,} with those before"
    )
    assert len(judge.images) > (1000 if EVERY == 1 else 5)
    assert dead == []
    if kind == "lfs2":
        flipped = judge.flipped(before, changes)
        print(f"{written} on {kind}: {flipped:,} times a bit flipped in what was written, to no effect")
