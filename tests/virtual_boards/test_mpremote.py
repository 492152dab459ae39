"""The real mpremote against a virtual board: each thing that people do with it."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from dcompute_sim.virtual_boards.serial import TcpPort

from .conftest import MakeDesk

ANY_BYTES = bytes(range(256)) * 9  # 0x03 and 0x04 among them

GREET = "def hello():\n    return 'hello from mip'\n"

COUNTING_MAIN = """
try:
    n = int(open("boots").read())
except OSError:
    n = 0
with open("boots", "w") as f:
    f.write(str(n + 1))
print("main ran")
"""


def test_eval(desk: MakeDesk) -> None:
    async def go() -> None:
        async with desk() as d:
            assert (await d.mpremote("eval", "6*7", "eval", "__name__")).out == "42\n__main__\n"

    asyncio.run(go())


def test_exec_keeps_names_and_shows_errors(desk: MakeDesk) -> None:
    async def go() -> None:
        async with desk() as d:
            assert (await d.mpremote("exec", "x=5", "exec", "print(x+1)")).out == "6\n"
            wrong = await d.mpremote("exec", "1/0", status=1)
            assert wrong.out.endswith("ZeroDivisionError: divide by zero\n")
            assert "shims" not in wrong.out

    asyncio.run(go())


def test_run_sends_a_script_longer_than_any_buffer(desk: MakeDesk, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import sys\nprint(sys.platform, 'ж', '\\x03' == chr(3))\n" + "# long\n" * 500)

    async def go() -> None:
        async with desk() as d:
            said = await d.mpremote("run", str(script))
            assert said.out == "esp32 ж True\n"

    asyncio.run(go())


def test_connect_names_a_port_that_is_not_there(desk: MakeDesk) -> None:
    async def go() -> None:
        async with desk() as d:
            said = await d.mpremote("eval", "1", status=1, address=f"{d.board.address}9999")
            assert "failed to access" in said.out
            assert (await d.mpremote("exec", "print(1)", "+", "disconnect")).out == "1\n"

    asyncio.run(go())


def test_fs_cp_carries_any_byte_there_and_back(desk: MakeDesk, tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(ANY_BYTES)

    async def go() -> None:
        async with desk() as d:
            source = str(tmp_path / "data.bin")
            await d.mpremote("fs", "cp", source, ":", "+", "fs", "cp", ":data.bin", ":copy.bin")
            await d.mpremote("cp", ":copy.bin", str(tmp_path / "back.bin"))
            assert (d.root / "data.bin").read_bytes() == ANY_BYTES
            assert (tmp_path / "back.bin").read_bytes() == ANY_BYTES

    asyncio.run(go())


def test_fs_cp_r_copies_a_tree_there_and_back(desk: MakeDesk, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "inner" / "empty").mkdir(parents=True)
    (tree / "a.txt").write_text("a\nb\n")
    (tree / "inner" / "b.txt").write_text("")

    def shape(folder: Path) -> list[str]:
        return sorted(str(place.relative_to(folder)) for place in folder.rglob("*"))

    async def go() -> None:
        async with desk() as d:
            await d.mpremote("fs", "cp", "-r", str(tree), ":")
            assert shape(d.root / "tree") == shape(tree)
            assert (d.root / "tree" / "a.txt").read_bytes() == b"a\nb\n"
            (tmp_path / "back").mkdir()
            await d.mpremote("fs", "cp", "-r", ":tree", str(tmp_path / "back"))
            assert shape(tmp_path / "back" / "tree") == shape(tree)

    asyncio.run(go())


def test_fs_ls_shows_files_with_their_size_and_folders_without(desk: MakeDesk) -> None:
    async def go() -> None:
        async with desk({"five.txt": "five!", "d/x.txt": "", "big.bin": "x" * 70_000}) as d:
            listed = (await d.mpremote("fs", "ls")).out.split("\n")
            assert sorted(listed[1:-1]) == [f"{0:12} d/", f"{5:12} five.txt", f"{70_000:12} big.bin"]
            assert f"{0:12} x.txt" in (await d.mpremote("fs", "ls", ":d")).out.split("\n")

    asyncio.run(go())


def test_fs_mkdir_rm_and_rmdir(desk: MakeDesk) -> None:
    async def go() -> None:
        async with desk({"a.txt": "a", "tree/b.txt": "b", "tree/c/d.txt": "d"}) as d:
            await d.mpremote("fs", "mkdir", "new", "+", "fs", "mkdir", "new/er")
            assert (d.root / "new" / "er").is_dir()
            await d.mpremote("fs", "rmdir", "new/er", "+", "fs", "rmdir", "new")
            await d.mpremote("fs", "rm", "a.txt", "+", "fs", "rm", "-r", ":tree")
            assert list(d.root.iterdir()) == []
            assert "No such file" in (await d.mpremote("fs", "rm", "a.txt", status=1)).out

    asyncio.run(go())


def test_fs_cat(desk: MakeDesk) -> None:
    async def go() -> None:
        async with desk({"a.txt": "a\nb \x03\n"}) as d:
            assert (await d.mpremote("fs", "cat", "a.txt")).out == "a\nb \x03\n"
            assert "No such file" in (await d.mpremote("fs", "cat", "nix.txt", status=1)).out

    asyncio.run(go())


def test_fs_sha256sum(desk: MakeDesk) -> None:
    async def go() -> None:
        async with desk() as d:
            (d.root / "data.bin").write_bytes(ANY_BYTES)
            said = await d.mpremote("fs", "sha256sum", "data.bin")
            assert hashlib.sha256(ANY_BYTES).hexdigest() in said.out

    asyncio.run(go())


def test_mount_carries_any_byte(desk: MakeDesk, tmp_path: Path) -> None:
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


def test_main_runs_at_power_on_and_after_every_reset(desk: MakeDesk) -> None:
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


def test_interrupts_main_whatever_it_does(desk: MakeDesk) -> None:
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


def test_bootloader_is_refused_in_clear_words(desk: MakeDesk) -> None:
    async def go() -> None:
        async with desk() as d:
            await d.mpremote("bootloader")  # mpremote does not wait for an answer
            await d.wait(lambda: d.all("bootloader"))
            said = await d.mpremote("exec", "import machine; machine.bootloader()", status=1)
            assert "has no ROM bootloader" in said.out
            assert (await d.mpremote("eval", "1")).out == "1\n"

    asyncio.run(go())


def test_mip_installs_from_a_local_package(desk: MakeDesk, tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "greet.py").write_text(GREET)
    description = {"urls": [["greet/__init__.py", "greet.py"]], "version": "1"}
    (package / "package.json").write_text(json.dumps(description))

    async def go() -> None:
        async with desk() as d:
            await d.mpremote("mip", "install", str(package / "package.json"))
            assert (d.root / "lib" / "greet" / "__init__.py").read_text() == GREET
            assert (await d.mpremote("exec", "import greet; print(greet.hello())")).out == "hello from mip\n"

    asyncio.run(go())


def test_mip_installs_by_name_from_a_local_index(desk: MakeDesk, tmp_path: Path) -> None:
    digest = hashlib.sha256(GREET.encode()).hexdigest()[:8]
    index = tmp_path / "index"
    (index / "file" / digest[:2]).mkdir(parents=True)
    (index / "file" / digest[:2] / digest).write_text(GREET)
    for compiled_as in ("py", "6"):  # mpremote asks for the board's .mpy version, with --no-mpy for sources
        (index / "package" / compiled_as / "greet").mkdir(parents=True)
        description = {"hashes": [["greet.py", digest]], "version": "1.2"}
        (index / "package" / compiled_as / "greet" / "latest.json").write_text(json.dumps(description))

    async def go() -> None:
        with serving(index) as url:
            async with desk() as d:
                await d.mpremote("mip", "install", "--index", url, "--no-mpy", "greet")
                assert (d.root / "lib" / "greet.py").read_text() == GREET
                assert (
                    await d.mpremote("exec", "import greet; print(greet.hello())")
                ).out == "hello from mip\n"
                missing = await d.mpremote("mip", "install", "--index", url, "nowhere", status=1)
                assert "not found" in missing.out.lower()

    asyncio.run(go())


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address of a web server that serves the files of `folder`."""
    handler = functools.partial(SilentHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


class SilentHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None: ...


def test_clock_and_disk(desk: MakeDesk) -> None:
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


def test_over_tcp(desk: MakeDesk, tmp_path: Path) -> None:
    (tmp_path / "f.bin").write_bytes(b"\x03\x04" * 400)

    async def go() -> None:
        async with desk(port=TcpPort()) as d:
            assert d.board.address.startswith("socket://127.0.0.1:")
            said = await d.mpremote("cp", str(tmp_path / "f.bin"), ":f.bin", "+", "eval", "1+1")
            assert said.out.endswith("2\n")
            assert (d.root / "f.bin").read_bytes() == b"\x03\x04" * 400

    asyncio.run(go())
