"""The launcher: which slot starts, trial and fallback, and that no state of the flash leaves a dead board."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import simpy
from dcompute_sim.deploy.slots import finishing
from dcompute_sim.micropython.board import Board
from dcompute_sim.micropython.lockstep import LockstepBoard
from dcompute_sim.net.network import Network

from dcompute.bundle import LAUNCHER

from .conftest import Heard, Rig

SAYS = "import config, sys\nprint('runs', config.VERSION, sys.modules['launcher'].version)\n"
CONFIRMS = SAYS + "sys.modules['launcher'].confirm()\n"
HANGS = SAYS + "import time\nwhile True:\n    time.sleep(5)\n"
CRASHES = SAYS + "raise RuntimeError('broken')\n"
RETURNS = SAYS
CONFIRM_S = 30


class Desk:
    """A board with slots, in virtual time."""

    def __init__(self, rig: Rig, heard: Heard) -> None:
        self.heard = heard
        self.env = simpy.Environment()
        for source, name in LAUNCHER.items():
            (rig.folder / name).write_bytes((rig.firmware / source).read_bytes())
        files = [rig.folder / name for name in LAUNCHER.values()] + [rig.firmware / "boot.py"]
        host = Network(self.env, 1, 0.005).host("node")
        self.board = LockstepBoard(self.env, host, rig.emulator, Board(bytes(6), files), heard)
        self.flash: Path = self.board.root

    def slot(self, name: str, program: str, whole: bool = True) -> None:
        folder = self.flash / name
        folder.mkdir()
        (folder / "main.py").write_text(program)
        (folder / "config.py").write_text(f"VERSION = 'v{name}'\n")
        if whole:
            about = {"version": f"v{name}", "confirm_s": CONFIRM_S, "files": {}}
            (folder / "version.json").write_text(json.dumps(about))

    def run(self, seconds: float) -> list[str]:
        """What the board prints in that time, launcher's and programs' words."""
        if not self.board.running:
            self.board.start()
        self.env.run(until=self.env.now + seconds)
        return [line for line in self.heard.lines if line.startswith(("runs", "launcher"))]

    def state(self) -> str:
        return (self.flash / "slot").read_text().strip()


@pytest.fixture
def desk(rig: Rig, heard: Heard) -> Iterator[Desk]:
    desk = Desk(rig, heard)
    yield desk
    desk.board.close()


def test_a_confirmed_version_runs_in_its_folder(desk: Desk) -> None:
    desk.slot("a", CRASHES)
    desk.slot("b", RETURNS)
    (desk.flash / "slot").write_text("b - 0\n")
    assert desk.run(100) == ["runs vb vb"]
    assert desk.heard.all("stopped") == []


def test_a_version_that_confirms_stays(desk: Desk) -> None:
    desk.slot("a", CRASHES)
    desk.slot("b", CONFIRMS)
    (desk.flash / "slot").write_text("b a 2\n")
    assert desk.run(4 * CONFIRM_S) == ["runs vb vb"]
    assert desk.state() == "b - 0"
    assert desk.heard.all("stopped") == []


@pytest.mark.parametrize("program", [HANGS, CRASHES, RETURNS, "import missing_module\n", "syntax error\n"])
def test_a_version_that_does_not_come_up_is_left(desk: Desk, program: str) -> None:
    desk.slot("a", SAYS)
    desk.slot("b", program)
    (desk.flash / "slot").write_text("b a 2\n")
    lines = desk.run(3 * CONFIRM_S)
    assert desk.state() == "a - 0"
    assert lines[-2:] == ["launcher: version vb did not come up, back to the one before", "runs va va"]
    assert lines.count("runs vb vb") == (2 if program.startswith(SAYS) else 0)
    assert desk.heard.all("stopped") == ["reset", "reset"]
    assert (desk.flash / "failed").read_text()[33:] == "vb"
    assert not (desk.flash / "b" / "version.json").exists()


def test_a_power_cut_uses_up_a_try(desk: Desk) -> None:
    desk.slot("a", SAYS)
    desk.slot("b", HANGS)
    (desk.flash / "slot").write_text("b a 2\n")
    for left in (1, 0):
        desk.run(1)
        assert desk.state() == f"b a {left}"
        desk.board.power_cut()
    desk.run(1)
    assert desk.state() == "a - 0"


def test_the_program_from_before_the_slots_is_a_fallback(desk: Desk) -> None:
    (desk.flash / "main_before.py").write_text("print('runs before')\n")
    desk.slot("a", CRASHES)
    (desk.flash / "slot").write_text("a . 1\n")
    assert desk.run(10)[-1] == "runs before"
    assert desk.state() == ". - 0"


@pytest.mark.parametrize(
    ("slot", "slot_new", "boots"),
    [
        ("b - 0\n", None, "vb"),
        (None, "b - 0\n", "vb"),  # the power was cut between the two steps of a rename on FAT
        ("a - 0\n", "b a", "va"),  # torn while it was written
        ("", None, "va"),
        ("\0\0\0\0", None, "va"),
        ("b a\n", None, "va"),
        ("b a x\n", None, "va"),
        ("c - 0\n", None, "va"),
        ("c b 2\n", None, "vb"),
        (None, None, "va"),
    ],
)
def test_whatever_the_slot_file_says_the_board_boots(
    desk: Desk, slot: str | None, slot_new: str | None, boots: str
) -> None:
    desk.slot("a", SAYS)
    desk.slot("b", SAYS)
    for name, text in (("slot", slot), ("slot.new", slot_new)):
        if text is not None:
            (desk.flash / name).write_text(text)
    assert desk.run(1) == [f"runs {boots} {boots}"]


@pytest.mark.parametrize("name", ["slot", "slot_launcher.py", "main.py"])
def test_what_fat_was_kept_from_renaming_is_renamed(desk: Desk, name: str) -> None:
    desk.slot("a", CRASHES)
    desk.slot("b", SAYS)
    (desk.flash / "slot").write_text("b - 0\n")
    (desk.flash / name).rename(desk.flash / f"{name}.new")
    assert desk.run(1) == ["runs vb vb"]
    assert not (desk.flash / f"{name}.new").exists()


def test_a_boot_file_of_ones_own_does_so_with_the_lines_that_deploy_adds(desk: Desk) -> None:
    desk.slot("a", SAYS)
    boot = desk.flash / "boot.py"
    lines = finishing(boot.read_bytes())
    boot.unlink()
    boot.write_bytes(b"print('runs', 'own')" + lines)
    (desk.flash / "main.py").rename(desk.flash / "main.py.new")
    assert desk.run(1) == ["runs own", "runs va va"]


@pytest.mark.parametrize("name", ["slot", "slot_launcher.py", "main.py"])
def test_what_was_only_begun_is_not(desk: Desk, name: str) -> None:
    desk.slot("a", SAYS)
    (desk.flash / name).unlink(missing_ok=True)
    (desk.flash / f"{name}.new").touch()
    desk.run(1)
    assert not (desk.flash / name).exists()


def test_a_slot_that_is_not_whole_does_not_start(desk: Desk) -> None:
    desk.slot("a", SAYS, whole=False)
    desk.slot("b", SAYS)
    (desk.flash / "a" / "version.json").write_text('{"version": "va", "fil')
    (desk.flash / "slot").write_text("a - 0\n")
    assert desk.run(1) == ["runs vb vb"]


def test_without_any_program_the_board_says_so(desk: Desk) -> None:
    desk.run(1)
    assert "no slot with a version.json, and no main_before.py" in desk.heard.all("crash")[0]["text"]
