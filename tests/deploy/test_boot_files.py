"""Boards hard to get at: boot.py blocks, ends in sys.exit() or starts a watchdog; the line is noisy."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from dcompute_sim.deploy.slots import finishing
from dcompute_sim.hardware.serial_link import SerialLink

from dcompute.bundle import product_folder

from .conftest import Command, Desk

OWN_MAIN = "print('mine')\n"
BLOCKING = "import time\nwhile True:\n    time.sleep(1)\n"
EXITING = "import sys\nsys.exit()\n"
WATCHED = "import machine\nmachine.WDT(timeout=5000)\n"


@pytest.mark.parametrize("boot", [BLOCKING, EXITING], ids=["blocking", "exiting"])
def test_a_boot_file_that_never_ends_is_kept_aside(desk: Desk, command: Command, boot: str) -> None:
    root = desk.root("flash", {"boot.py": boot, "main.py": OWN_MAIN})
    words = ("--port", desk.plug_in(root).address, "--config", desk.config(NODE_ID="kiln"), "--answer", "3")
    said = command(*words)
    assert "boot.py, which never ends, becomes boot_before.py" in said.out
    assert desk.flash(root)["boot_before.py"].decode() == boot
    desk.until_ready("kiln")


def test_a_boot_file_that_takes_its_time_stays(desk: Desk, command: Command) -> None:
    slow = "import time\ntime.sleep(6)  # a Wi-Fi, say\n"
    root = desk.root("flash", {"boot.py": slow, "main.py": OWN_MAIN})
    said = command("--port", desk.plug_in(root).address, "--config", desk.config(), "--dry-run", "--no-wait")
    assert "never ends" not in said.out
    assert "boot.py" not in said.out


def test_it_comes_back_with_what_it_belonged_to(desk: Desk, command: Command) -> None:
    root = desk.root("flash", {"boot.py": BLOCKING, "main.py": OWN_MAIN})
    board = desk.plug_in(root)
    before = desk.flash(root)
    broken = desk.folder / "tasks.py"
    broken.write_text("raise ImportError('a tool is missing')\n")
    config = desk.config(NODE_ID="never-seen")
    command(
        "--port",
        board.address,
        "--config",
        config,
        "--file",
        broken,
        "--timeout",
        "4",
        "--answer",
        "3",
        status=1,
    )
    assert desk.flash(root) == before


def test_a_short_watchdog_does_not_bite_meanwhile(desk: Desk, command: Command, deployed: Path) -> None:
    root = desk.root("flash", deployed)
    (root / "boot.py").write_text(WATCHED)
    own = desk.folder / "tasks.py"
    own.write_text("# a long one\n" * 3000)
    board = desk.plug_in(root, baud=57_600, fat=True)  # 7 s, and the watchdog has five
    said = command("--port", board.address, "--file", own, "--no-wait")
    assert "copied" in said.out
    assert "again" not in said.out
    ours = (product_folder() / "boot.py").read_bytes()
    assert desk.flash(root)["boot.py"] == WATCHED.encode() + finishing(ours)  # which FAT needs


def test_a_noisy_line_is_tried_again(
    desk: Desk, command: Command, deployed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, noise = SerialLink.write_file, random.Random(3)
    spoilt: list[str] = []

    def noisy(link: SerialLink, path: str, data: bytes, *more: Any) -> None:
        if path.endswith("tasks.py") and len(spoilt) < 2:  # once one bit, once the line's own protocol
            spoilt.append(path)
            if len(spoilt) == 1:
                at = noise.randrange(len(data))
                data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
            else:
                with open(link.port, "wb", buffering=0) as line:
                    line.write(b"\x01")
        write(link, path, data, *more)

    monkeypatch.setattr(SerialLink, "write_file", noisy)
    own = desk.folder / "tasks.py"
    own.write_text("def handle(task):\n    return 1\n")
    root = desk.root("flash", deployed)
    said = command("--port", desk.plug_in(root).address, "--file", own)
    assert len(spoilt) == 2
    assert "again the line is noisy" in said.out
    desk.until_ready("kiln")
