"""The real mpremote against a virtual board: each thing that people do with it."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

from sim.boards.serial import TcpPort

COUNTING_MAIN = """
try:
    n = int(open("boots").read())
except OSError:
    n = 0
with open("boots", "w") as f:
    f.write(str(n + 1))
print("main ran")
"""


def test_eval_exec_and_run(desk: Any, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import sys\nprint(sys.platform, 'ж', '\x03' == chr(3))\n")

    async def go() -> None:
        async with desk() as d:
            assert (await d.mpremote("eval", "6*7", "eval", "__name__")).out == "42\n__main__\n"
            assert (await d.mpremote("exec", "x=5", "exec", "print(x+1)")).out == "6\n"
            wrong = await d.mpremote("exec", "1/0", status=1)
            assert wrong.out.endswith("ZeroDivisionError: divide by zero\n")
            assert "shims" not in wrong.out
            script.write_text("import sys\nprint(sys.platform, 'ж')\n" + "# long\n" * 500)
            assert (await d.mpremote("run", str(script))).out == "esp32 ж\n"

    asyncio.run(go())


def test_files(desk: Any, tmp_path: Path) -> None:
    data = bytes(range(256)) * 9  # 0x03 and 0x04 among them
    (tmp_path / "data.bin").write_bytes(data)
    tree = tmp_path / "tree"
    (tree / "inner").mkdir(parents=True)
    (tree / "a.txt").write_text("a\nb\n")
    (tree / "inner" / "b.txt").write_text("")

    async def go() -> None:
        async with desk() as d:
            await d.mpremote("cp", str(tmp_path / "data.bin"), ":", "+", "cp", "-r", str(tree), ":")
            await d.mpremote("mkdir", "empty", "+", "cp", ":data.bin", str(tmp_path / "back.bin"))
            listed = (await d.mpremote("ls")).out.split("\n")
            assert f"{len(data):12} data.bin" in listed
            assert f"{0:12} tree/" in listed
            assert f"{0:12} empty/" in listed
            assert f"{4:12} a.txt" in (await d.mpremote("ls", "tree")).out.split("\n")
            assert (await d.mpremote("cat", "tree/a.txt")).out == "a\nb\n"
            digest = await d.mpremote("sha256sum", "data.bin")
            assert hashlib.sha256(data).hexdigest() in digest.out
            assert (tmp_path / "back.bin").read_bytes() == data
            assert (d.root / "data.bin").read_bytes() == data
            await d.mpremote("rm", "data.bin", "+", "rm", "-r", ":tree", "+", "rmdir", "empty")
            assert list(d.root.iterdir()) == []
            missing = await d.mpremote("cat", "nix.txt", status=1)
            assert "No such file" in missing.out

    asyncio.run(go())


def test_mount_carries_any_byte(desk: Any, tmp_path: Path) -> None:
    away = tmp_path / "away"
    away.mkdir()
    (away / "helper.py").write_text("VALUE = '\x03 is only a byte here'\n")
    (away / "in.bin").write_bytes(bytes(range(256)) * 3)
    program = (
        "import os, helper; data = open('in.bin','rb').read(); f = open('out.bin','wb'); f.write(data);"
        "f.close(); print(len(data), helper.VALUE[1:], sorted(os.listdir()))"
    )

    async def go() -> None:
        async with desk() as d:
            said = await d.mpremote("mount", str(away), "exec", program)
            assert "768  is only a byte here ['helper.py', 'in.bin', 'out.bin']" in said.out
            assert (away / "out.bin").read_bytes() == bytes(range(256)) * 3
            assert list(d.root.iterdir()) == []

    asyncio.run(go())


def test_main_runs_at_power_on_and_after_every_reset(desk: Any) -> None:
    async def go() -> None:
        async with desk({"main.py": COUNTING_MAIN}) as d:
            boots = d.root / "boots"
            await d.wait(lambda: d.board.idle)
            assert boots.read_text() == "1"
            await d.mpremote("soft-reset")  # into the raw REPL: without main.py, as on a board
            assert boots.read_text() == "1"
            before = len(d.all("reset"))
            await d.mpremote("reset")
            await d.wait(lambda: d.all("reset")[before + 1 :])  # its own soft reset, then the one asked for
            await d.wait(lambda: d.board.idle)
            assert d.all("reset")[-1] == {"cause": 2}
            assert boots.read_text() == "2"
            assert "2" in (await d.mpremote("resume", "eval", "n + 1")).out  # main.py's names stay
            d.board.reset()
            await d.wait(lambda: d.board.idle)
            assert boots.read_text() == "3"

    asyncio.run(go())


def test_interrupts_main_whatever_it_does(desk: Any) -> None:
    programs = (
        "while True: pass",
        "import time\nwhile True: time.sleep(60)",
        "import _thread\nlock = _thread.allocate_lock()\nlock.acquire()\nlock.acquire()",
    )

    async def go() -> None:
        for program in programs:
            async with desk({"main.py": "n = 7\n" + program}) as d:
                await d.wait(lambda: d.all("boot"))
                assert (await d.mpremote("resume", "eval", "n")).out == "7\n"

    asyncio.run(go())


def test_bootloader_is_refused_in_clear_words(desk: Any) -> None:
    async def go() -> None:
        async with desk() as d:
            await d.mpremote("bootloader")  # mpremote does not wait for an answer
            await d.wait(lambda: d.all("bootloader"))
            said = await d.mpremote("exec", "import machine; machine.bootloader()", status=1)
            assert "has no ROM bootloader" in said.out
            assert (await d.mpremote("eval", "1")).out == "1\n"

    asyncio.run(go())


def test_mip_installs_from_a_local_index(desk: Any, tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "greet.py").write_text("def hello():\n    return 'hello from mip'\n")
    description = {"urls": [["greet/__init__.py", "greet.py"]], "version": "1"}
    (package / "package.json").write_text(json.dumps(description))

    async def go() -> None:
        async with desk() as d:
            await d.mpremote("mip", "install", str(package / "package.json"))
            assert (d.root / "lib" / "greet" / "__init__.py").is_file()
            assert (await d.mpremote("exec", "import greet; print(greet.hello())")).out == "hello from mip\n"

    asyncio.run(go())


def test_clock_and_disk(desk: Any) -> None:
    async def go() -> None:
        async with desk({"old.txt": "x" * 5000}, flash_bytes=1024 * 1024) as d:
            await d.mpremote("rtc", "--set")
            year = (await d.mpremote("resume", "rtc")).out[1:5]
            assert int(year) >= 2024
            line = (await d.mpremote("df")).out.split("\n")[1].split()
            assert int(line[1]) == 1024 * 1024
            assert int(line[2]) == 4 * 4096  # two blocks of the file, two of the folder it lies in
            assert int(line[3]) == int(line[1]) - int(line[2])

    asyncio.run(go())


def test_over_tcp(desk: Any, tmp_path: Path) -> None:
    (tmp_path / "f.bin").write_bytes(b"\x03\x04" * 400)

    async def go() -> None:
        async with desk(port=TcpPort()) as d:
            assert d.board.address.startswith("socket://127.0.0.1:")
            await d.mpremote("cp", str(tmp_path / "f.bin"), ":f.bin")
            assert (d.root / "f.bin").read_bytes() == b"\x03\x04" * 400
            assert (await d.mpremote("eval", "1+1")).out == "2\n"

    asyncio.run(go())
