"""Emulated boards in real time: what they tell, what can be done to them, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from dcompute_sim.fwbuild.build_errors import FirmwareError
from dcompute_sim.micropython.board import Board
from dcompute_sim.micropython.process import FirmwareProcess
from dcompute_sim.micropython.provision import Emulator

from ..conftest import PATIENCE_S
from .conftest import RealRig

_IDLE = """
import time
print("started")
while True:
    time.sleep_ms(20)
    print("beat")
"""


def test_an_uncaught_error_is_told_with_its_traceback_and_the_board_stays_on(real: RealRig) -> None:
    async def go() -> None:
        program = """
            import _thread, time
            def other():
                raise KeyError("other")
            def beat():
                time.sleep_ms(100)
                print("still here")
            _thread.start_new_thread(other, ())
            _thread.start_new_thread(beat, ())
            time.sleep_ms(20)
            raise ValueError("boo")
        """
        async with real.running(program) as (process, heard):
            await heard.wait_line("still here")
            await heard.wait(lambda: len(heard.all("crash")) == 2)
            first, second = heard.all("crash")
            assert first["thread"] == "thread"
            assert "KeyError: other" in first["text"]
            assert second["thread"] == "main"
            assert 'File "main.py", line 11' in second["text"]
            assert "ValueError: boo" in second["text"]
            assert str(process.root) not in second["text"]
            assert process.running, "a board with an uncaught error sits at its prompt"

    asyncio.run(go())


def test_a_program_that_ends_is_told(real: RealRig) -> None:
    async def go() -> None:
        async with real.running("print('over')") as (process, heard):
            await heard.wait(lambda: heard.all("ended"))
            assert process.running

    asyncio.run(go())


@pytest.mark.parametrize(
    ("ending", "how", "cause"),
    [
        ("machine.reset()", "reset", 2),
        ("machine.soft_reset()", "soft_reset", 5),
        ("import sys; sys.exit()", "soft_reset", 5),
        ("machine.deepsleep(10)", "deepsleep", 4),
        ("machine.WDT(timeout=100); time.sleep(30)", "watchdog", 3),
        ("machine.WDT(timeout=100)\n    while True: pass", "watchdog", 3),
        ('import ffi; ffi.open(None).func("v", "abort", "")()', "died: SIGABRT", 2),  # a panic of the chip
    ],
)
def test_resets_restart_the_board_with_their_cause(real: RealRig, ending: str, how: str, cause: int) -> None:
    async def go() -> None:
        program = (
            "import machine, time\nprint('cause', machine.reset_cause())\n"
            f"if machine.reset_cause() == 1:\n    {ending}\n"
        )
        async with real.running(program) as (_, heard):
            await heard.wait_line(f"cause {cause}")
            assert heard.all("stopped") == [how]
            assert heard.all("started") == [(1, 1), (2, cause)]

    asyncio.run(go())


def test_a_fed_watchdog_does_not_bite(real: RealRig) -> None:
    got = real.lines("""
        import machine, time
        dog = machine.WDT(timeout=1000)
        for _ in range(11):
            time.sleep_ms(100)
            dog.feed()
        print("done", machine.reset_cause())
    """)
    assert got == ["done 1"]


def test_kill_hang_resume_reboot(real: RealRig) -> None:
    async def go() -> None:
        async with real.running(_IDLE) as (process, heard):
            await heard.wait_line("beat")
            process.hang()
            await asyncio.sleep(0.1)  # what was on its way arrives
            heard.lines.clear()
            await asyncio.sleep(0.2)
            assert heard.lines == []
            process.resume()
            await heard.wait_line("beat")
            process.kill()
            assert not process.running
            assert heard.all("stopped") == ["kill"]
            process.kill()  # harmless
            process.start()
            process.reboot()
            heard.lines.clear()
            await heard.wait_line("started")
            assert [boot for boot, _ in heard.all("started")] == [1, 2, 3]
            with pytest.raises(RuntimeError, match="already running"):
                process.start()

    asyncio.run(go())


def test_a_hung_board_is_reset_by_its_watchdog(real: RealRig) -> None:
    async def go() -> None:
        program = """
            import machine, time
            print("cause", machine.reset_cause())
            dog = machine.WDT(timeout=200)
            print("armed")
            while True:
                time.sleep_ms(20)
                dog.feed()
        """
        async with real.running(program) as (process, heard):
            await heard.wait_line("armed")
            await heard.wait(lambda: heard.all("watchdog"))
            process.hang()
            await heard.wait_line("cause 3")
            assert heard.all("stopped") == ["watchdog"]

    asyncio.run(go())


def test_a_hung_board_can_be_killed(real: RealRig) -> None:
    async def go() -> None:
        async with real.running(_IDLE) as (process, heard):
            await heard.wait_line("beat")
            process.hang()
            process.kill()
            assert heard.all("stopped") == ["kill"]

    asyncio.run(go())


def test_the_air_changes_while_the_board_runs(real: RealRig) -> None:
    async def go() -> None:
        program = """
            import network, time
            wlan = network.WLAN(network.STA_IF)
            wlan.active(True)
            wlan.connect("a", "b")
            seen = None
            while True:
                if wlan.status() != seen:
                    seen = wlan.status()
                    print("status", seen)
                time.sleep_ms(5)
        """
        radio = {"scan_ms": 200, "join_ms": 20, "dhcp_ms": 20, "beacon_ms": 50}
        async with real.running(program, radio=radio) as (process, heard):
            await heard.wait_line("status 1010")
            process.radio(ap=False)
            await heard.wait_line("status 201")
            assert "status 200" in heard.lines or "status 1001" in heard.lines
            heard.lines.clear()
            process.radio(ap=True)
            await heard.wait_line("status 1010")
            heard.lines.clear()
            process.kick(203)
            await heard.wait_line("status 1010")
            assert 203 in [event["status"] for event in heard.all("wlan")]
            process.radio(ap=False)
            heard.lines.clear()
            process.reboot()
            await heard.wait_line("status 201")

    asyncio.run(go())


def test_a_dead_link_answers_no_connection(real: RealRig) -> None:
    async def go(port: int) -> None:
        program = f"""
            import errno, network, socket, time
            wlan = network.WLAN(network.STA_IF)
            wlan.active(True)
            wlan.connect("a", "b")
            while not wlan.isconnected():
                time.sleep_ms(10)
            sock = socket.socket()
            sock.settimeout(0.2)
            try:
                sock.connect(("127.0.0.1", {port}))
                print("answered")
            except OSError as error:
                print("timeout", error.errno == errno.ETIMEDOUT, wlan.isconnected())
            sock.close()
            sock = socket.socket()
            sock.connect(("127.0.0.1", {port}))
            print("connected")
        """
        async with real.running(program, radio={"silent": True}) as (process, heard):
            assert await heard.wait_line("") == "timeout True True"
            process.radio(silent=False)
            await heard.wait_line("connected")

    with socket.create_server(("127.0.0.1", 0)) as server:
        asyncio.run(go(server.getsockname()[1]))


def test_memory_is_read_while_the_firmware_sleeps(real: RealRig) -> None:
    async def go() -> None:
        program = """
            import time
            kept = bytearray(50000)
            print("started")
            time.sleep(30)
        """
        async with real.running(program, heap_bytes=128 * 1024) as (process, heard):
            await heard.wait_line("started")
            allocated, free = await process.memory()
            assert allocated > 50000
            assert 0 < free < 90000
            assert process.pid is not None
            os.kill(process.pid, signal.SIGSTOP)  # else it might answer before it is killed
            waiting = asyncio.ensure_future(process.memory())
            await asyncio.sleep(0)
            process.kill()
            with pytest.raises(ConnectionError):
                await waiting

    asyncio.run(go())


def test_flash_survives_a_reboot_and_config_is_there(real: RealRig) -> None:
    async def go() -> None:
        program = """
            import config, os
            print("boots", "count" in os.listdir() and open("count").read())
            print(config.NAME, config.PORT, config.NOTHING)
            with open("count", "w") as f:
                f.write("one")
        """
        config = {"NAME": "Zoë's", "PORT": 1883, "NOTHING": None}
        async with real.running(program, config=config) as (process, heard):
            await heard.wait_line("boots False")
            await heard.wait_line("Zoë's 1883 None")
            await heard.wait(lambda: heard.all("ended"))
            process.reboot()
            await heard.wait_line("boots one")

    asyncio.run(go())


def test_boot_py_runs_first_and_another_entry_can_be_named(emulator: Emulator, tmp_path: Path) -> None:
    (tmp_path / "boot.py").write_text("print('boot')\n")
    (tmp_path / "other.py").write_text("import helper\nprint(helper.WORD)\n")
    (tmp_path / "pkg").mkdir()
    (tmp_path / "helper.py").write_text("from pkg.inner import WORD\n")
    (tmp_path / "pkg" / "inner.py").write_text("WORD = 'inner'\n")
    heard: list[str] = []

    class Ear:
        def started(self, boot: int, reset_cause: int) -> None: ...
        def stopped(self, how: str) -> None: ...
        def output(self, line: str) -> None:
            heard.append(line)

        def event(self, name: str, fields: dict[str, Any]) -> None:
            if name in ("ended", "crash"):
                over.set()

    async def go() -> None:
        process = FirmwareProcess(emulator, Board(bytes(6), [tmp_path], entry="other.py"), Ear())
        try:
            process.start()
            await asyncio.wait_for(over.wait(), PATIENCE_S)
        finally:
            process.close()

    over = asyncio.Event()
    asyncio.run(go())
    assert heard == ["boot", "inner"]


def test_bad_firmware_is_named_and_leaves_no_folder(
    tmp_path: Path, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = tmp_path / "folders"
    folders.mkdir()
    monkeypatch.setenv("TMPDIR", str(folders))
    monkeypatch.setattr(tempfile, "tempdir", str(folders))
    with pytest.raises(FirmwareError, match="nowhere"):
        FirmwareProcess(emulator, Board(bytes(6), [tmp_path / "nowhere"]), None)  # type: ignore[arg-type]
    with pytest.raises(FirmwareError, match=r"absent\.py"):
        FirmwareProcess(emulator, Board(bytes(6), [tmp_path], entry="absent.py"), None)  # type: ignore[arg-type]
    assert not list(folders.iterdir())
    with pytest.raises(FirmwareError, match="6 bytes"):
        Board(b"\x01", [])


def test_nothing_is_left_behind(real: RealRig) -> None:
    async def go() -> tuple[list[int | None], list[Path]]:
        pids, roots = [], []
        for _ in range(5):
            async with real.running(_IDLE) as (process, heard):
                await heard.wait_line("started")
                pids.append(process.pid)
                roots.append(process.root)
                process.reboot()
                pids.append(process.pid)
        return pids, roots

    before = len(os.listdir("/proc/self/fd"))
    pids, roots = asyncio.run(go())
    assert len(os.listdir("/proc/self/fd")) == before
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    assert not [root for root in roots if root.exists()]


_TESTBED = """
import asyncio, sys
from pathlib import Path
from dcompute_sim.micropython.board import Board
from dcompute_sim.micropython.process import FirmwareProcess
from dcompute_sim.micropython.provision import provision

class Listener:
    def started(self, boot, reset_cause): pass
    def stopped(self, how): pass
    def output(self, line): print(process.pid, flush=True)
    def event(self, name, fields): pass

async def run():
    global process
    process = FirmwareProcess(provision(), Board(bytes(6), [Path(sys.argv[1])]), Listener())
    process.start()
    await asyncio.sleep(60)

asyncio.run(run())
"""


def test_a_board_does_not_outlive_its_testbed(tmp_path: Path) -> None:
    """Killed, the testbed ends nothing: its boards see the channel close and end by themselves."""
    (tmp_path / "main.py").write_text(_IDLE)
    command = [sys.executable, "-c", _TESTBED, str(tmp_path / "main.py")]
    here = {**os.environ, "TMPDIR": str(tmp_path)}  # nobody is left to remove what it leaves
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=here) as testbed:
        assert testbed.stdout is not None
        pid = int(testbed.stdout.readline())
        testbed.kill()
    deadline_s = time.monotonic() + PATIENCE_S
    while _is_running(pid):
        assert time.monotonic() < deadline_s, "the board lives on"
        time.sleep(0.01)


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_three_hundred_boards_at_once(emulator: Emulator, real: RealRig) -> None:
    """All up and joined in under 5 s on two idle cores: 10 s of a processor, of which there may be few."""

    async def go() -> None:
        program = """
            import network, time
            wlan = network.WLAN(network.STA_IF)
            wlan.active(True)
            wlan.connect("a", "b")
            while not wlan.isconnected():
                time.sleep_ms(50)
            print("joined")
            while True:
                time.sleep_ms(100)
        """
        joined = 0
        all_joined = asyncio.Event()

        class Count:
            def started(self, boot: int, reset_cause: int) -> None: ...
            def stopped(self, how: str) -> None: ...
            def event(self, name: str, fields: dict[str, Any]) -> None: ...
            def output(self, line: str) -> None:
                nonlocal joined
                joined += line == "joined"
                if joined == 300:
                    all_joined.set()

        board = real.board(program, heap_bytes=64 * 1024)
        boards = [FirmwareProcess(emulator, board, Count()) for _ in range(300)]
        try:
            for process in boards:
                process.start()
                await asyncio.sleep(0)
            await asyncio.wait_for(all_joined.wait(), 3 * PATIENCE_S)
        finally:
            for process in boards:
                process.close()

    before_s = _processor_s()
    asyncio.run(go())
    assert _processor_s() - before_s < 40


def _processor_s() -> float:
    """What this process and those that it has started, and that have ended, took of the processors."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


FULL = """
import _thread, machine, time

hoard = None  # the name takes its room now

def fill():
    hoard = None
    size = 4096
    while size:
        try:
            while True:
                hoard = (hoard, bytearray(size))
        except MemoryError:
            size //= 2
    return hoard

def other():
    time.sleep_ms(100)
    [0] * 100000  # and there is no heap to say what happens

if machine.reset_cause() == machine.PWRON_RESET:
    _thread.start_new_thread(other, ())
    hoard = fill()
    for _ in range(8):  # room for what the emulator's clock takes, and a board's does not
        hoard = hoard[0]
    time.sleep_ms(2500)
    machine.reset()
"""


def test_a_board_with_a_full_heap_loses_a_thread_obeys_and_resets(real: RealRig) -> None:
    async def go() -> None:
        async with real.running(FULL, heap_bytes=48 * 1024) as (process, heard):
            process.radio(rssi=-50)
            await heard.wait(lambda: heard.all("ended"))
            (crash,) = heard.all("crash")
            assert crash["thread"] == "thread"
            assert heard.all("stopped") == ["reset"]
            assert heard.all("started") == [(1, 1), (2, 2)]

    asyncio.run(go())


CLOCK = """
import sys

class utime:
    us = 2**40 - 5

    def ticks_us():
        return utime.us % 2**30

    def ticks_ms():
        return utime.us // 1000 % 2**30

    def ticks_diff(end, start):
        return (end - start + 2**29) % 2**30 - 2**29

sys.modules["utime"] = utime
import _kernel

for more_us in (10, 0, 2**30 - 10, 5 * 2**30 + 7, 123456789):
    utime.us += more_us
    print(_kernel.now_us())
"""


def test_the_boards_clock_goes_on_where_the_machines_microseconds_wrap(
    emulator: Emulator, tmp_path: Path
) -> None:
    """Every 18 minutes where words have 32 bits: whatever waited then waited for as long."""
    script = tmp_path / "clock.py"
    script.write_text(CLOCK)
    path = {"MICROPYPATH": f"{emulator.shims}/real:{emulator.shims}"}
    done = subprocess.run(
        [*emulator.argv, str(script)], env=path, capture_output=True, text=True, check=False
    )
    since = [10, 10, 2**30, 6 * 2**30 + 7, 6 * 2**30 + 7 + 123456789]
    assert [int(line) for line in done.stdout.split()] == since, done.stderr
