"""The board's modules as firmware sees them, the same program in real and in virtual time."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dcompute_sim.micropython.provision import Emulator

from .conftest import RealRig

TIMES = ["real", "virtual"]


@pytest.fixture(params=TIMES)
def lines(request: pytest.FixtureRequest) -> Any:
    """Runs a program and returns what it printed up to "done"."""
    rig = request.getfixturevalue(request.param)
    if request.param == "real":
        return rig.lines

    def run(program: str, **settings: Any) -> list[str]:
        board, heard = rig.add(program, **settings)
        board.start()
        rig.run(120)
        assert any(line.startswith("done") for line in heard.lines), heard.happened
        found: list[str] = heard.lines
        return found

    return run


def test_identity_and_reset_cause(lines: Callable[..., list[str]]) -> None:
    got = lines("""
        import machine, network, os, sys
        print(machine.unique_id().hex(), network.WLAN(network.STA_IF).config("mac").hex())
        print(machine.reset_cause() == machine.PWRON_RESET, sys.platform, os.uname()[0])
        print("done")
    """)
    assert got[:2] == ["020000000107 020000000107", "True esp32 esp32"]


def test_the_epoch_is_2000_and_ticks_wrap_as_on_the_chip(lines: Callable[..., list[str]]) -> None:
    got = lines(
        """
        import time
        print(time.gmtime(0), time.mktime((2000, 1, 1, 0, 0, 0, 0, 0)), time.time() < 60)
        print(time.localtime(820540800)[:6], time.mktime((2026, 1, 1, 0, 0, 0, 0, 0)))
        before = after = time.ticks_ms()
        while after >= before:
            time.sleep_ms(20)
            after = time.ticks_ms()
        print(2**30 - 2000 <= before, 0 < time.ticks_diff(after, before) < 10000)
        print(time.ticks_add(2**30 - 1, 2), time.ticks_diff(1, 2**30 - 1), time.ticks_diff(2**30 - 1, 1))
        print("done")
        """,
        ticks_start_ms=2**30 - 2000,
    )
    assert got[:4] == [
        "(2000, 1, 1, 0, 0, 0, 5, 1) 0 True",
        "(2026, 1, 1, 0, 0, 0) 820540800",
        "True True",
        "1 2 -2",
    ]


def test_ntp_and_rtc_set_the_clock(lines: Callable[..., list[str]]) -> None:
    got = lines("""
        import machine, network, ntptime, time
        try:
            ntptime.settime()
        except OSError as error:
            print("no WLAN:", error.errno)
        wlan = network.WLAN(network.STA_IF)
        wlan.active(True)
        wlan.connect("a", "b")
        while not wlan.isconnected():
            time.sleep_ms(10)
        ntptime.settime()
        print(time.localtime()[0] >= 2026)
        machine.RTC().datetime((2030, 6, 5, 0, 1, 2, 3, 0))
        print(time.localtime()[:6])
        print("done")
    """)
    assert got[1:3] == ["True", "(2030, 6, 5, 1, 2, 3)"]


def test_what_the_emulator_lacks_is_named_not_mistaken_for_a_typo(lines: Callable[..., list[str]]) -> None:
    got = lines("""
        import _thread, machine, network, os, select, socket, sys, time
        for module, name in ((machine, "I2S"), (network, "PPP"), (time, "hibernate"),
                             (socket, "fromfd"), (_thread, "interrupt_main"), (select, "epoll"),
                             (os, "system"), (sys, "settrace"), (network.WLAN(0), "csi_read"),
                             (machine.Pin(2), "drive"), (socket.socket(), "detach")):
            try:
                getattr(module, name)
                print("nothing said about", name)
            except AttributeError as error:
                print(error)
            assert not hasattr(module, name)
        try:
            from machine import I2S
        except (AttributeError, ImportError) as error:
            print("import:", error)
        print("done")
    """)
    assert len(got) == 13
    assert not [line for line in got if "nothing said" in line]
    assert "emulator's machine has no 'I2S'" in got[0]
    assert "emulator's network.WLAN has no 'csi_read'" in got[8]
    assert "emulator's machine has no 'I2S'" in got[11]


def test_wlan_joins_and_sockets_need_it(lines: Callable[..., list[str]]) -> None:
    got = lines("""
        import errno, network, socket, time
        wlan = network.WLAN(network.STA_IF)
        print(wlan.active(), wlan.isconnected(), wlan.status() == network.STAT_IDLE, wlan.ifconfig()[0])
        for act in (lambda: wlan.connect("a", "b"), lambda: socket.socket().connect(("127.0.0.1", 9)),
                    lambda: socket.getaddrinfo("broker.example", 1883), lambda: wlan.status("rssi")):
            try:
                act()
                print("no error")
            except OSError as error:
                print(error.args[0], error.args[0] == errno.EHOSTUNREACH)
            wlan.active(True)
        wlan.connect("a", "b")
        print(wlan.status() == network.STAT_CONNECTING)
        try:
            wlan.connect("a", "b")
        except OSError as error:
            print(error)
        while not wlan.isconnected():
            time.sleep_ms(20)
        print(wlan.status() == network.STAT_GOT_IP, wlan.ifconfig()[0][:5], wlan.status("rssi"))
        wlan.config(pm=wlan.PM_NONE)
        print(wlan.config("pm"), wlan.config("ssid"))
        wlan.disconnect()
        print(wlan.isconnected(), wlan.status() == network.STAT_IDLE)
        print("done")
    """)
    assert got[:-1] == [
        "False False True 0.0.0.0",
        "Wifi Not Started False",
        f"{113} True",
        "-202 False",
        "Wifi Not Connected False",
        "True",
        "Wifi Internal State Error",
        "True 10.0. -55",
        "0 a",
        "False True",
    ]


def test_a_static_address_needs_no_dhcp(lines: Callable[..., list[str]]) -> None:
    got = lines(
        """
        import network, time
        wlan = network.WLAN(network.STA_IF)
        wlan.active(True)
        wlan.ifconfig(("10.9.9.9", "255.255.255.0", "10.9.9.1", "10.9.9.1"))
        wlan.connect("a", "b")
        while not wlan.isconnected():
            time.sleep_ms(20)
        print(wlan.ifconfig())
        print("done")
        """,
        radio={"dhcp_ms": None},
    )
    assert got[0] == "('10.9.9.9', '255.255.255.0', '10.9.9.1', '10.9.9.1')"


@pytest.mark.parametrize(
    ("radio", "status"),
    [
        ({"ap": False}, "201"),
        ({"ssid": "another"}, "201"),
        ({"password_ok": False}, "202"),
        ({"password": "another"}, "202"),
        ({"dhcp_ms": None}, "1001"),
    ],
)
def test_a_wlan_that_cannot_be_joined_says_why(
    lines: Callable[..., list[str]], radio: dict[str, Any], status: str
) -> None:
    got = lines(
        """
        import network, time
        wlan = network.WLAN(network.STA_IF)
        wlan.active(True)
        wlan.connect("home", "secret")
        time.sleep_ms(400)
        print(wlan.status(), wlan.isconnected())
        print("done")
        """,
        radio=radio,
    )
    assert got[0] == f"{status} False"


def test_a_weak_signal_looks_like_a_wrong_password_and_then_joins(lines: Callable[..., list[str]]) -> None:
    got = lines(
        """
        import network, time
        wlan = network.WLAN(network.STA_IF)
        wlan.active(True)
        wlan.connect("home", "secret")
        seen = set()
        while not wlan.isconnected():
            seen.add(wlan.status())
            time.sleep_ms(10)
        print(network.STAT_WRONG_PASSWORD in seen, wlan.status("rssi"))
        print("done")
        """,
        radio={"rssi": -90},
    )
    assert got[0] == "True -90"


def test_locks_exclude_and_block(lines: Callable[..., list[str]]) -> None:
    got = lines("""
        import _thread, time
        lock = _thread.allocate_lock()
        order = []
        def hold():
            with lock:
                order.append("held")
                time.sleep_ms(100)
                order.append("freed")
        _thread.start_new_thread(hold, ())
        while not lock.locked():
            time.sleep_ms(1)
        print(lock.acquire(0))
        with lock:
            order.append("mine")
        print(order, lock.locked())
        print("done")
    """)
    assert got[:2] == ["False", "['held', 'freed', 'mine'] False"]


def test_a_timer_and_asyncio_run(lines: Callable[..., list[str]]) -> None:
    got = lines("""
        import asyncio, machine, time
        fired = []
        timer = machine.Timer(0)
        timer.init(period=20, callback=lambda t: fired.append(1))
        machine.Timer(1, mode=machine.Timer.ONE_SHOT, period=10, callback=lambda t: fired.append(2))
        async def nap(ms):
            await asyncio.sleep_ms(ms)
            return ms
        async def main():
            print(await asyncio.gather(nap(90), nap(30), nap(60)))
            try:
                await asyncio.wait_for_ms(nap(10000), 20)
            except asyncio.TimeoutError:
                print("timeout")
        asyncio.run(main())
        timer.deinit()
        print(fired.count(2), fired.count(1) >= 3)
        print("done")
    """)
    assert got[:3] == ["[90, 30, 60]", "timeout", "1 True"]


def test_select_tells_what_is_ready(real: RealRig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        got = real.lines(f"""
            import network, select, socket, time
            wlan = network.WLAN(network.STA_IF)
            wlan.active(True)
            wlan.connect("a", "b")
            while not wlan.isconnected():
                time.sleep_ms(10)
            sock = socket.socket()
            sock.connect(("127.0.0.1", {server.getsockname()[1]}))
            readable, writable, failed = select.select([sock], [sock], [sock], 1)
            print(readable, writable == [sock], failed)
            print(select.select([sock], [], [], 0.05))
            print("done")
        """)
    assert got[:2] == ["[] True []", "([], [], [])"]


_COUNT = """
import _thread, time
count = 0
over = 0
def work(n):
    global count, over
    for _ in range(n):
        count += 1
    over += 1
for _ in range(4):
    _thread.start_new_thread(work, (150000,))
while over < 4:
    time.sleep_ms(5)
    if time.ticks_ms() > 10**12:
        break
print("count", count)
print("done")
"""


def test_shared_counters_lose_nothing(lines: Callable[..., list[str]]) -> None:
    assert lines(_COUNT)[0] == "count 600000"


def test_without_the_coarse_lock_counts_are_lost(emulator: Emulator, tmp_path: Path) -> None:
    """The bare port: what the shim is for. Were this to pass one day, the lock would no longer be needed."""
    script = tmp_path / "count.py"
    script.write_text(_COUNT.replace("while over < 4", "for _ in range(200)"))
    tries = (
        subprocess.run([*emulator.argv, str(script)], capture_output=True, text=True, check=True).stdout
        for _ in range(3)
    )
    assert any("count 600000" not in said for said in tries)


def test_json_is_read_from_whatever_has_it(lines: Callable[..., list[str]]) -> None:
    """As MicroPython's own does, whose `ujson` it is."""
    got = lines(
        """
        import io, json, ujson
        def loaded(load, text, mode, skip):
            with open("x", "w") as file:
                file.write(text)
            with open("x", mode) as file:
                file.read(skip)
                try:
                    return load(file), file.read()
                except ValueError as error:
                    return repr(error), file.tell()
        long = json.dumps(["y" * 20000, {"é": 1.5}])
        full = "[1]" + " " * 16381
        texts = ('{"a": [1, null]} ', long, long[:16384], full, full + "x", "", "{", "[1] x", "  3")
        for text in texts:
            for mode in ("r", "rb"):
                for skip in (0, 1):
                    ours, own = (loaded(module.load, text, mode, skip) for module in (json, ujson))
                    if ours[0] != own[0]:
                        print(text[:20], mode, skip, ours[0], own[0])
        print(json.load(io.StringIO("[1]")), json.load(io.BytesIO(b"[2]")), json.loads("3"), json.dumps([4]))
        with open("x", "w") as file:
            json.dump({"five": 5}, file)
        with open("x") as file:
            print(json.load(file))
        print("done")
    """,
        heap_bytes=512 * 1024,
    )
    assert got[:3] == ["[1] [2] 3 [4]", "{'five': 5}", "done"]


def test_json_that_two_threads_read_at_one_moment_is_each_ones_own(lines: Callable[..., list[str]]) -> None:
    got = lines(
        """
        import json
        for name in "ab":
            with open(name, "w") as file:
                json.dump([name] * 20, file)
        def load(name):
            with open(name) as file:
                return json.load(file)
        own = json.loads
        def loads(text):  # between a file's being read and its being parsed another thread may have its turn
            json.loads = own
            print("the other's", load("b") == ["b"] * 20)
            return own(text)
        json.loads = loads
        print("its own", load("a") == ["a"] * 20)
        with open("x", "w") as file:
            file.write("x")
        for _ in range(2):  # what is no JSON does not keep the room for itself
            try:
                with open("x") as file:
                    json.load(file)
            except ValueError:
                print("no JSON", json._text is not None)
        print("done")
    """,
        heap_bytes=512 * 1024,
    )
    assert got[:5] == ["the other's True", "its own True", "no JSON True", "no JSON True", "done"]


def test_json_of_a_file_takes_few_system_calls(emulator: Emulator, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("[" + "1, " * 1000 + "1]")
    program = """
import json
def calls():
    with open("/proc/self/io") as file:
        return int(file.read().split("syscr: ")[1].split()[0])
with open("x") as file:
    before = calls()
    json.load(file)
    print(calls() - before)
"""
    done = subprocess.run(
        [*emulator.argv, "-c", program],
        cwd=tmp_path,
        env={"MICROPYPATH": f"{emulator.shims}:.frozen"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert int(done.stdout) < 20


def test_a_small_heap_is_the_firmwares_alone_and_in_one_block(lines: Callable[..., list[str]]) -> None:
    """64 KiB are 64 KiB: what the emulator's modules take comes on top; and no more than that."""
    got = lines(
        """
        import gc
        print(gc.mem_alloc() + gc.mem_free())
        gc.collect()
        print(64 * 1024 - 2048 < gc.mem_free() < 64 * 1024)
        least, most = 0, 100000
        while most - least > 64:
            size = (least + most) // 2
            try:
                bytearray(size)
                least = size
            except MemoryError:
                most = size
            gc.collect()
        print(64 * 1024 - 8000 < least < 64 * 1024)  # this program itself takes some
        print("done", gc.mem_free(), least)
        """,
        heap_bytes=64 * 1024,
    )
    assert got[:3] == ["65536", "True", "True"], got


def test_a_busy_main_lets_other_threads_run(real: RealRig) -> None:
    """The ESP32's GIL is handed over while a computation runs; the keepalive of a busy node depends on it."""
    got = real.lines("""
        import _thread, time
        beats = 0
        def beat():
            global beats
            while True:
                time.sleep_ms(10)
                beats += 1
        _thread.start_new_thread(beat, ())
        start = time.ticks_ms()
        while beats < 10 and time.ticks_diff(time.ticks_ms(), start) < 10000:
            pass
        print(beats)
        print("done")
    """)
    assert int(got[0]) >= 10


def test_sleeping_costs_no_cpu(real: RealRig) -> None:
    """The port's own sleep_ms wakes up over 1,000 times a second; 300 boards could not be run that way."""

    async def go() -> float:
        program = """
            import time
            print("started")
            while True:
                time.sleep_ms(100)
        """
        async with real.running(program) as (process, heard):
            await heard.wait_line("started")
            assert process.pid is not None
            before_s = _cpu_s(process.pid)
            await asyncio.sleep(1)
            return _cpu_s(process.pid) - before_s

    assert asyncio.run(go()) <= 0.03


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
