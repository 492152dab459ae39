"""The log of changes to a board's flash, and the flash after a power cut as worked out from it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from dcompute_sim.virtual_boards.flash_log import Cut, FlashState, cut_after, load, read, replay, save, states

from .conftest import MakeDesk

WRITER = """
import os
os.mkdir("d")
os.chdir("d")
with open("../a.txt", "w") as f:
    f.write("first")
    f.write(" second")
with open("./b.bin", "wb") as f:
    f.write(b"0123456789")
    f.flush()
    f.seek(4)
    f.write(b"xyz")
with open("/old.txt", "a") as f:
    f.write("+more")
with open("/old.txt", "r+b") as f:
    f.write(b"OLD")
os.rename("/d", "/e")
os.rename("/a.txt", "/e/a.txt")
with open("/e/gone", "w") as f:
    pass
os.remove("/e/gone")
os.mkdir("/f")
os.rmdir("/f")
"""
BEFORE: FlashState = {"/old.txt": b"old", "/run.py": WRITER.encode()}
AFTER = {"/e": None, "/e/a.txt": b"first second", "/e/b.bin": b"0123xyz789", "/old.txt": b"OLD+more"}


async def written(desk: MakeDesk, log: Path, steps: int | None) -> FlashState:
    """What is on the flash after the writer was run, with the power failing after so many steps."""
    files = {path.lstrip("/"): (content or b"").decode() for path, content in BEFORE.items()}
    async with desk(files, flash_log=log) as d:
        await d.wait(lambda: d.board.idle)
        if steps is not None:
            d.board.fail_power_after(steps)
        d.type("exec(open('/run.py').read())\r")
        if steps is None:
            await d.wait(lambda: len(d.all("ended")) == 2)
        else:
            await d.wait(lambda: d.all("power_off"))
        return load(d.root)


def test_replay_of_a_log_gives_what_the_board_did(desk: MakeDesk, tmp_path: Path) -> None:
    async def go() -> None:
        log = tmp_path / "log"
        left = await written(desk, log, None)
        assert left == BEFORE | AFTER
        changes = read(log)
        assert [change.op for change in changes[:4]] == ["boot", "mkdir", "open", "write"]
        for filesystem in ("torn", "littlefs"):
            assert replay(changes, BEFORE, Cut(len(changes)), filesystem) == left
        assert {change.path for change in changes if change.op == "write"} == {
            "/a.txt",
            "/d/b.bin",
            "/old.txt",
        }

    asyncio.run(go())


@pytest.mark.parametrize("steps", [0, 1, 5, 12, 24, 33, 36, 37])
def test_a_power_cut_leaves_what_the_log_of_a_whole_run_says(
    desk: MakeDesk, tmp_path: Path, steps: int
) -> None:
    """The board's own power cut and the one worked out from a log are two programs; they must agree."""

    async def go() -> None:
        await written(desk, tmp_path / "whole", None)
        changes = read(tmp_path / "whole")
        save(BEFORE, tmp_path / "flash")
        left = await written(desk, tmp_path / "cut", steps)
        assert left == replay(changes, BEFORE, cut_after(changes, steps))
        assert left == replay(read(tmp_path / "cut"), BEFORE, cut_after(read(tmp_path / "cut"), 10**6))

    asyncio.run(go())


def test_states_are_all_that_a_cut_can_leave(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(
        b'{"op": "boot"}\n'
        b'{"op": "open", "path": "/new", "file": 1, "empty": true}\n'
        b'{"op": "write", "file": 1, "at": 0, "n": 4}\nabcd'
        b'{"op": "sync", "file": 1}\n'
        b'{"op": "rename", "path": "/new", "to": "/main"}\n'
    )
    changes = read(log)
    old: FlashState = {"/main": b"old"}
    assert list(states(changes, old)) == [
        (Cut(0), {"/main": b"old"}),
        (Cut(2), {"/main": b"old", "/new": b""}),
        (Cut(2, 2), {"/main": b"old", "/new": b"ab"}),
        (Cut(3), {"/main": b"old", "/new": b"abcd"}),
        (Cut(4, 1), {"/new": b"abcd"}),  # as FAT renames
        (Cut(5), {"/main": b"abcd"}),
    ]
    assert [flash for _, flash in states(changes, old, "littlefs")] == [
        {"/main": b"old"},
        {"/main": b"old", "/new": b""},
        {"/main": b"old", "/new": b"abcd"},
        {"/main": b"abcd"},
    ]
    for cut, flash in states(changes, old):
        assert replay(changes, old, cut) == flash
    assert old == {"/main": b"old"}


def test_littlefs_keeps_the_old_file_until_it_is_closed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(
        b'{"op": "open", "path": "/main", "file": 1, "empty": true}\n'
        b'{"op": "write", "file": 1, "at": 0, "n": 2}\nab'
    )
    old: FlashState = {"/main": b"old"}
    assert [flash["/main"] for _, flash in states(read(log), old)] == [b"old", b"", b"a", b"ab"]
    assert [flash["/main"] for _, flash in states(read(log), old, "littlefs")] == [b"old"]


@pytest.mark.parametrize("text", [b"nonsense\n", b'{"op": "mkdir", "n": "x"}\n', b'{"how": 1}\n', b"[]\n"])
def test_a_file_that_is_no_log_is_named(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "log").write_bytes(b'{"op": "boot"}\n' + text)
    with pytest.raises(ValueError, match=r"log: change 2 is not one"):
        read(tmp_path / "log")


def test_load_and_save(tmp_path: Path) -> None:
    flash: FlashState = {"/a": None, "/a/b": b"\0", "/c": b""}
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "junk").write_text("x")
    save(flash, tmp_path / "f")
    assert load(tmp_path / "f") == flash


def test_a_board_that_overwrites_its_file_does_not_reach_beyond_its_flash(
    desk: MakeDesk, tmp_path: Path
) -> None:
    source = tmp_path / "source.py"
    source.write_text("ours")
    (tmp_path / "flash").mkdir()
    (tmp_path / "flash" / "linked.py").symlink_to(source)

    async def go() -> None:
        async with desk({"main.py": "open('linked.py', 'w').write('theirs')"}) as d:
            await d.wait(lambda: d.board.idle)
            assert load(d.root)["/linked.py"] == b"theirs"
            assert source.read_text() == "ours"

    asyncio.run(go())
