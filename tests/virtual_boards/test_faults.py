"""What can go wrong with a board, its cable and its flash, as mpremote and the flash itself then show it."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from dcompute_sim.virtual_boards import chip
from dcompute_sim.virtual_boards.serial import PtyPort, TcpPort

from .conftest import MakeDesk

KIB = 1024


async def answers(d: Any) -> None:
    assert (await d.mpremote("eval", "6*7")).out == "42\n"


# --- flash ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("torn_at", [0, 700, 4999])
def test_power_cut_during_a_copy_tears_the_file_at_that_byte(
    desk: MakeDesk, tmp_path: Path, torn_at: int
) -> None:
    data = bytes(n % 251 for n in range(5000))
    (tmp_path / "new.bin").write_bytes(data)

    async def go() -> None:
        async with desk({"old.txt": "kept"}) as d:
            d.board.fail_power_after(1 + torn_at)  # making the file is the one
            copying = asyncio.create_task(
                d.mpremote("cp", "--force", str(tmp_path / "new.bin"), ":", status=None)
            )
            await d.wait(lambda: d.all("power_off"))
            assert (d.root / "new.bin").read_bytes() == data[:torn_at]
            await d.board.unplug()  # or mpremote waits for an answer from a dead board
            assert (await copying).status != 0
            await d.board.plug_in()
            assert d.all("reset")[-1] == {"cause": 1}
            length = "len(open('new.bin','rb').read())"
            assert (await d.mpremote("cat", "old.txt", "+", "eval", length)).out == f"kept{torn_at}\n"

    asyncio.run(go())


def test_what_is_one_step_happens_whole_or_not_at_all(desk: MakeDesk) -> None:
    async def go() -> None:
        for done_before, left in ((0, {"a", "d"}), (1, {"b", "d"}), (2, {"b"}), (3, {"b", "e"})):
            async with desk({"a": "x", "d/x": ""}) as d:
                (d.root / "d" / "x").unlink()
                await d.wait(lambda d=d: d.board.idle)
                d.board.fail_power_after(done_before)
                d.type("import os; os.rename('a', 'b'); os.rmdir('d'); os.mkdir('e'); os.remove('b')\r")
                await d.wait(lambda d=d: d.all("power_off"))
                assert {place.name for place in d.root.iterdir()} == left
                for place in d.root.iterdir():
                    place.rmdir() if place.is_dir() else place.unlink()

    asyncio.run(go())


def test_a_power_failure_that_is_due_counts_over_resets(desk: MakeDesk) -> None:
    main = "f = open('log', 'ab')\nfor _ in range(2): f.write(b'xy')\nf.close()"

    async def go() -> None:
        async with desk({"main.py": main}) as d:
            await d.wait(lambda: d.board.idle)
            d.board.fail_power_after(7)
            for life in (2, 3):
                d.board.reset()
                await d.wait(lambda n=life: not d.board.powered or len(d.all("ended")) == n)
            assert not d.board.powered
            assert (d.root / "log").read_bytes() == b"xyxyxyxyxyx"
            d.board.power_on()
            await d.wait(lambda: d.board.idle)
            assert (d.root / "log").stat().st_size == 11 + 4

    asyncio.run(go())


def test_a_full_filesystem_says_so_and_keeps_what_it_has(desk: MakeDesk, tmp_path: Path) -> None:
    (tmp_path / "big.bin").write_bytes(bytes(30 * KIB))

    async def go() -> None:
        async with desk({"old.txt": "kept"}, flash_bytes=28 * KIB) as d:
            said = await d.mpremote("cp", str(tmp_path / "big.bin"), ":", status=1)
            assert "No space left" in said.out or "ENOSPC" in said.out, said
            assert (d.root / "big.bin").stat().st_size <= 28 * KIB
            wrong = await d.mpremote("exec", "open('one_more', 'w').write('x' * 30000)", status=1)
            assert "OSError: 28" in wrong.out
            folder = await d.mpremote("mkdir", ":folder", status=1)
            assert "No space left" in folder.out or "ENOSPC" in folder.out, folder
            assert (await d.mpremote("cat", "old.txt")).out == "kept"
            await d.mpremote("rm", ":big.bin", "+", "mkdir", ":folder")  # and there is room again

    asyncio.run(go())


def test_the_flash_outlasts_resets_power_and_cable(desk: MakeDesk) -> None:
    async def go() -> None:
        async with desk() as d:
            await d.mpremote("exec", "open('kept', 'w').write('here')")
            ways = [d.board.reset, d.board.power_off, d.board.power_on]
            for way in ways:
                way()
            await answers(d)
            await d.board.unplug()
            await d.board.plug_in()
            assert (await d.mpremote("cat", "kept")).out == "here"

    asyncio.run(go())


# --- cable ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make_port", [PtyPort, TcpPort])
def test_unplugged_under_mpremote_and_plugged_in_again(
    desk: MakeDesk, make_port: type[PtyPort] | type[TcpPort]
) -> None:
    async def go() -> None:
        async with desk({"main.py": "print('booted')"}, port=make_port()) as d:
            endless = asyncio.create_task(d.mpremote("exec", "while True: pass", status=None))
            await d.wait(lambda: d.all("boot")[1:])  # mpremote's soft reset is done
            await d.board.unplug()
            assert (await endless).status != 0
            if make_port is TcpPort:  # the name of a pseudo-terminal may be another test's by now
                away = await d.mpremote("eval", "1", status=1)
                assert "failed to access" in away.out
            await d.board.plug_in()
            await answers(d)

    asyncio.run(go())


def test_a_slow_line_is_slow_and_complete(desk: MakeDesk, tmp_path: Path) -> None:
    data = os.urandom(2 * KIB)
    (tmp_path / "data.bin").write_bytes(data)

    async def go() -> None:
        async with desk(baud=115_200) as d:
            loop = asyncio.get_running_loop()
            began_s = loop.time()
            await d.mpremote("cp", str(tmp_path / "data.bin"), ":")
            assert loop.time() - began_s > 10 * len(data) / 115_200
            assert (d.root / "data.bin").read_bytes() == data

    asyncio.run(go())


def test_garbage_on_the_line_harms_nothing_for_good(desk: MakeDesk) -> None:
    garbage = bytes(range(256)) * 3

    async def go() -> None:
        async with desk() as d:
            await d.wait(lambda: d.board.idle)
            d.board.line.garbage(garbage)  # towards the machine
            await answers(d)
            d.board.line.received(garbage)  # towards the board
            await answers(d)
            d.board.line.noise = 0.05
            d.type("print(6*7)\r" * 30)
            d.board.line.noise = 0.0
            await answers(d)

    asyncio.run(go())


def test_more_output_than_anyone_reads_stops_neither_board_nor_test(desk: MakeDesk) -> None:
    async def go() -> None:
        async with desk(
            {"main.py": "for n in range(9000): print('line', n)\nopen('done', 'w').close()"}
        ) as d:
            await d.wait(lambda: d.board.idle)  # nobody has the port open
            assert (d.root / "done").exists()
            await answers(d)

    asyncio.run(go())


# --- chip -------------------------------------------------------------------------------------------------


def test_interrupts_in_the_middle_of_allocating_leave_a_board_that_answers(desk: MakeDesk) -> None:
    """One may strike inside the allocator, which closes the heap: rarely, and then the chip starts anew."""

    async def go() -> None:
        async with desk() as d:
            await d.wait(lambda: d.board.idle)
            for number in range(15):
                ended = len(d.all("ended"))
                d.type("while 1: x = bytearray(8)\r\r")
                await asyncio.sleep(0.001 * number)  # before it runs, and at various places of the loop
                d.type("\x03")
                await d.wait(lambda e=ended: len(d.all("ended")) > e and d.board.idle)
            await answers(d)

    asyncio.run(go())


def test_a_chip_that_does_not_hear_the_interrupt_is_restarted_and_interrupted(
    desk: MakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chip, "HEARD_S", 1.0)

    async def go() -> None:
        async with desk({"main.py": "while True: pass"}) as d:
            await d.wait(lambda: d.all("boot"))
            os.kill(d.board.pid, signal.SIGSTOP)  # as if its heap were locked
            said = await d.mpremote("resume", "eval", "6*7")
            assert said.out == "42\n"
            assert [reset["cause"] for reset in d.all("reset")][:2] == [1, 3]

    asyncio.run(go())


def test_a_watchdog_that_is_not_fed_resets_the_board(desk: MakeDesk) -> None:
    program = "import machine\nif machine.reset_cause() == 1:\n machine.WDT(timeout=100)\n while True: pass"

    async def go() -> None:
        async with desk({"main.py": program}) as d:
            await d.wait(lambda: d.board.idle)
            assert [reset["cause"] for reset in d.all("reset")] == [1, 3]
            await answers(d)

    asyncio.run(go())


def test_a_board_in_deep_sleep_hears_nothing_until_it_wakes(desk: MakeDesk) -> None:
    program = "import machine\nif machine.reset_cause() == 1:\n machine.deepsleep(500)"

    async def go() -> None:
        async with desk({"main.py": program}) as d:
            await d.wait(lambda: d.all("asleep"))
            assert (d.board.powered, d.board.pid) == (True, 0)
            d.type("\x03\x03")
            await d.wait(lambda: d.board.idle)
            assert [reset["cause"] for reset in d.all("reset")] == [1, 4]
            await answers(d)

    asyncio.run(go())


def test_a_board_that_sleeps_for_ever_is_woken_by_its_button_and_ended_by_its_plug(desk: MakeDesk) -> None:
    program = "import machine\nif machine.reset_cause() == 1:\n machine.deepsleep()"

    async def go() -> None:
        async with desk({"main.py": program}) as d:
            await d.wait(lambda: d.all("asleep"))
            d.board.power_off()
            assert not d.board.powered
            d.board.power_on()
            await d.wait(lambda: len(d.all("asleep")) == 2)
            d.board.reset()
            await d.wait(lambda: d.board.idle)
            assert [reset["cause"] for reset in d.all("reset")] == [1, 1, 2]
            await answers(d)

    asyncio.run(go())
