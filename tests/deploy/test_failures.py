"""What goes wrong is told clearly, with an exit status, and leaves the board as it was."""

from __future__ import annotations

import os
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import serial
from dcompute_sim.deploy.board_config import DeployTarget
from dcompute_sim.deploy.progress import Progress
from dcompute_sim.hardware.serial_link import SerialLink

from ..conftest import PATIENCE_S
from .conftest import Command, Desk

OWN_MAIN = "print('an older program')\n"


@contextmanager
def talker(answer: bytes) -> Iterator[str]:
    """A port at whose other end something that is no MicroPython answers to each line."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    over = threading.Event()

    def talk() -> None:
        while not over.is_set():
            heard = os.read(ours, 100)
            if answer and not over.is_set() and heard:
                os.write(ours, answer)

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        yield os.ttyname(theirs)
    finally:
        over.set()
        os.write(theirs, b"\n")  # wakes the reader
        thread.join(PATIENCE_S)
        os.close(ours)
        os.close(theirs)


def test_a_wrong_port(desk: Desk, command: Command) -> None:
    said = command("--port", "/dev/ttyNONE", "--config", desk.config(), status=3)
    assert "there is no port /dev/ttyNONE" in said.out
    said = command("--port", "socket://127.0.0.1:1", "--config", desk.config(), status=3)
    assert "socket://127.0.0.1:1" in said.out


def test_a_busy_port(desk: Desk, command: Command) -> None:
    board = desk.plug_in(desk.root("flash"))
    with serial.Serial(board.address, exclusive=True):
        said = command("--port", board.address, "--config", desk.config(), status=3)
    assert "another program has it open" in said.out
    assert desk.flash(desk.folder / "flash") == {}


@pytest.mark.parametrize(
    ("answer", "meaning"),
    [
        (b"", "nothing answers"),
        (b"ERROR\r\n", "flash MicroPython first"),
        (b"waiting for download\r\n", "bootloader"),
        (bytes(range(128, 256)), "flash MicroPython first"),
    ],
)
def test_a_board_without_micropython(desk: Desk, command: Command, answer: bytes, meaning: str) -> None:
    with talker(answer) as port:
        said = command("--port", port, "--config", desk.config(), "--answer", "1", status=1)
    assert meaning in said.out


def test_an_old_micropython(desk: Desk, command: Command) -> None:
    old = "import sys\nsys.implementation = ('micropython', (1, 21, 0), 'ESP32', 518)\n"
    root = desk.root("flash", {"boot.py": old, "main.py": OWN_MAIN})
    board = desk.plug_in(root)
    before = desk.flash(root)
    said = command("--port", board.address, "--config", desk.config(), status=1)
    assert "MicroPython 1.21.0 is older than 1.22" in said.out
    assert desk.flash(root) == before
    desk.until(lambda: board.idle)  # it was restarted, and its program ran


def test_compiled_files_that_the_board_does_not_load(desk: Desk, command: Command) -> None:
    other = "import sys\nclass I(tuple):\n    _mpy = 5\nsys.implementation = I(('micropython', (1, 25, 0)))\n"
    root = desk.root("flash", {"boot.py": other})
    board = desk.plug_in(root)
    said = command("--port", board.address, "--config", desk.config(), "--compile", status=1)
    assert "deploy without --compile" in said.out
    assert set(desk.flash(root)) == {"boot.py"}


def test_a_full_flash_is_noticed_before_anything_is_written(desk: Desk, command: Command) -> None:
    root = desk.root("flash", {"main.py": OWN_MAIN, "log.txt": "x" * 100_000})
    board = desk.plug_in(root, flash_bytes=160 * 1024)
    before = desk.flash(root)
    said = command("--port", board.address, "--config", desk.config(), status=1)
    assert "KiB free, and" in said.out
    assert desk.flash(root) == before


def test_a_flash_that_fills_up_meanwhile(
    desk: Desk, command: Command, deployed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dcompute_sim.deploy.deployment.check_room", lambda *_: None)
    root = desk.root("flash", deployed)
    before = desk.flash(root)
    board = desk.plug_in(root, flash_bytes=150 * 1024)
    own = desk.folder / "tasks.py"
    own.write_text("def handle(task):\n    return 1\n")
    said = command("--port", board.address, "--file", own, status=1)
    assert "the board's flash is full" in said.out
    assert "it boots what it booted" in said.out
    assert desk.flash(root) == before


def test_a_wrong_wifi_password_and_the_way_back(desk: Desk, command: Command, deployed: Path) -> None:
    root = desk.root("flash", deployed)
    board = desk.plug_in(root)
    before = desk.flash(root)
    wrong = desk.config(WIFI_PASSWORD="tongs and hammer")
    desk.until_ready("kiln")
    said = command("--port", board.address, "--config", wrong, "--timeout", "5", status=1)
    assert (
        "kiln did not report ready within 5 s; it says: Wi-Fi: not joined 'workshop': wrong password"
        in said.out
    )
    assert "Rolled back: version one is ready again" in said.out
    assert desk.flash(root) == before


def test_a_first_deploy_that_does_not_come_up_leaves_no_trace(desk: Desk, command: Command) -> None:
    root = desk.root("flash", {"main.py": OWN_MAIN})
    board = desk.plug_in(root)
    before = desk.flash(root)
    broken = desk.folder / "tasks.py"
    broken.write_text("raise ImportError('a tool is missing')\n")
    said = command(
        "--port",
        board.address,
        "--config",
        desk.config(NODE_ID="never-seen"),
        "--file",
        broken,
        "--timeout",
        "4",
        status=1,
    )
    assert "ImportError: a tool is missing" in said.out
    assert "Rolled back" in said.out
    assert desk.flash(root) == before
    desk.until(lambda: board.idle)


def test_a_broker_that_cannot_be_reached(desk: Desk, command: Command, deployed: Path) -> None:
    root = desk.root("flash", deployed)
    board = desk.plug_in(root)
    before = desk.flash(root)
    nowhere = desk.config(MQTT_PORT=1)
    said = command("--port", board.address, "--config", nowhere, status=3)
    assert "broker 127.0.0.1:1 cannot be reached from here" in said.out
    assert desk.flash(root) == before
    assert not board.idle  # it was not even disturbed


def test_a_tampered_bundle(desk: Desk, command: Command) -> None:
    packed = desk.folder / "packed"
    command("pack", packed, "--version", "one")
    root = desk.root("flash", {"main.py": OWN_MAIN})
    board = desk.plug_in(root)
    before = desk.flash(root)
    tasks = packed / "tasks.py"
    tasks.write_text(tasks.read_text() + "import os\n")
    (packed / "more.py").write_text("x = 1\n")
    words = ("--port", board.address, "--config", desk.config(), "--firmware", packed)
    said = command(*words, status=2)
    assert "more.py, tasks.py are not what version.json says" in said.out
    assert desk.flash(root) == before

    tasks.write_text(tasks.read_text().removesuffix("import os\n"))
    (packed / "more.py").unlink()
    assert "one: ready" in command(*words).out


def test_a_file_that_arrives_damaged(
    desk: Desk, command: Command, deployed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = SerialLink.write_file

    def spoil(link: SerialLink, path: str, data: bytes, *more: Any) -> None:
        write(link, path, data.replace(b"return 1", b"return 7"), *more)

    monkeypatch.setattr(SerialLink, "write_file", spoil)
    root = desk.root("flash", deployed)
    before = desk.flash(root)
    own = desk.folder / "tasks.py"
    own.write_text("def handle(task):\n    return 1\n")
    said = command("--port", desk.plug_in(root).address, "--file", own, status=1)
    assert "tasks.py arrived damaged" in said.out
    assert desk.flash(root) == before


def test_the_cable_is_pulled_while_files_are_copied(desk: Desk, command: Command, deployed: Path) -> None:
    root = desk.root("flash", deployed)
    board = desk.plug_in(root, baud=460_800)
    desk.until_ready("kiln")
    own = desk.folder / "tasks.py"
    own.write_text("# a long one\n" * 4000)

    def cut() -> None:
        desk.until((root / "b" / "tasks.py").exists)
        desk.do(board.unplug())

    cutter = threading.Thread(target=cut)
    cutter.start()
    said = command("--port", board.address, "--file", own, status=1)
    cutter.join()
    assert "still boots what it booted" in said.out
    desk.do(board.plug_in())
    own.write_text("def handle(task):\n    return 1\n")
    assert "ready" in command("--port", board.address, "--file", own).out


def test_ctrl_c_leaves_the_old_version(
    desk: Desk, command: Command, deployed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    show = Progress.show

    def interrupted(progress: Progress, target: DeployTarget, step: str, detail: str) -> None:
        show(progress, target, step, detail)
        if step == "copy":
            progress.interrupted.set()

    monkeypatch.setattr(Progress, "show", interrupted)
    root = desk.root("flash", deployed)
    before = desk.flash(root)
    own = desk.folder / "tasks.py"
    own.write_text("def handle(task):\n    return 1\n")
    said = command("--port", desk.plug_in(root).address, "--file", own, status=1)
    assert "interrupted before `copy`; nothing was switched" in said.out
    assert desk.flash(root) == before
    desk.until_ready("kiln")
