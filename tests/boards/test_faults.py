"""What can happen to a board: a full flash, power that fails, a bad line, an unplugged cable, a dead Wi-Fi."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from dcompute.master_transport import MasterNodeTransport
from sim.brokers.process import BrokerProcess
from sim.micropython.flash import layout, product

PATIENCE_S = 20.0

CONFIG = """
WIFI_SSID = "desk"
WIFI_PASSWORD = "secret"
STATIC_IP = None
MQTT_HOST = "127.0.0.1"
MQTT_PORT = {port}
MQTT_USER = None
MQTT_PASSWORD = None
MQTT_TLS = False
NODE_TYPE = "ESP32"
NODE_ID = "board-1"
MQTT_KEEPALIVE = 2
POLL_MS = 20
"""


def test_a_full_flash_says_so_and_keeps_what_it_has(desk: Any, tmp_path: Path) -> None:
    big = tmp_path / "big.bin"
    big.write_bytes(bytes(40_000))

    async def go() -> None:
        async with desk({"keep.txt": "kept"}, flash_bytes=32 * 1024) as d:
            said = await d.mpremote("cp", str(big), ":big.bin", status=1)
            assert "No space left" in said.out
            assert (d.root / "keep.txt").read_text() == "kept"
            caught = "try:\n open('b','w').write('x'*40000)\nexcept OSError as e:\n print(e.errno)"
            await d.mpremote("rm", "big.bin")
            assert (await d.mpremote("exec", caught)).out == "28\n"
            big.write_bytes(bytes(16_000))
            await d.mpremote("cp", str(big), ":big.bin")  # what fits does fit
            assert (d.root / "big.bin").stat().st_size == 16_000

    asyncio.run(go())


@pytest.mark.parametrize("steps", [0, 1, 300])
def test_the_power_fails_at_the_very_byte(desk: Any, tmp_path: Path, steps: int) -> None:
    data = bytes(range(256)) * 2
    (tmp_path / "new.bin").write_bytes(data)

    async def go() -> None:
        async with desk({"new.bin": "old"}) as d:
            await d.mpremote("exec", "pass")  # mpremote's soft reset would forget the order
            d.board.fail_power_after(steps)
            await cut(d, str(tmp_path / "new.bin"))
            kept = (d.root / "new.bin").read_bytes()
            if steps == 0:
                assert kept == b"old"
            else:
                assert kept == data[: steps - 1]  # making the file anew was the first step
            assert (await d.mpremote("eval", "1")).out == "1\n"

    async def cut(d: Any, source: str) -> None:
        copying = asyncio.create_task(d.mpremote("resume", "cp", source, ":new.bin", status=None))
        await d.wait(lambda: d.all("power_off"))
        assert not d.board.powered
        await d.board.unplug()  # ends the wait of an mpremote whose board does not answer
        assert (await copying).status != 0
        await d.board.plug_in()

    asyncio.run(go())


def test_a_slow_line_takes_its_time(desk: Any, tmp_path: Path) -> None:
    (tmp_path / "f.bin").write_bytes(b"\x03" * 600)

    async def go() -> None:
        loop = asyncio.get_running_loop()
        async with desk(baud=57_600) as d:
            await d.wait(lambda: d.board.idle)
            began = loop.time()
            await d.mpremote("cp", str(tmp_path / "f.bin"), ":f.bin")
            least = 600 * 4 * 10 / 57_600  # `\\x03` is four bytes on the line, each of ten bits
            assert loop.time() - began >= least
            assert (d.root / "f.bin").read_bytes() == b"\x03" * 600

    asyncio.run(go())


def test_garbage_on_the_line_is_survived(desk: Any) -> None:
    async def go() -> None:
        async with desk() as d:
            await d.wait(lambda: d.board.idle)
            d.board.line.garbage(bytes(range(128, 256)))
            assert (await d.mpremote("eval", "2")).out == "2\n"
            d.board.line.noise = 0.5
            await d.mpremote("eval", "3", status=1)
            d.board.line.noise = 0.0
            d.board.reset()
            assert (await d.mpremote("eval", "4")).out == "4\n"

    asyncio.run(go())


def test_unplugged_and_plugged_in_again(desk: Any) -> None:
    async def go() -> None:
        async with desk({"main.py": "print('ran')"}) as d:
            await d.wait(lambda: d.board.idle)
            waiting = asyncio.create_task(d.mpremote("exec", "import time; time.sleep(60)", status=None))
            await d.wait(lambda: len(d.all("ended")) == 2)  # mpremote's soft reset; now it sends its block
            await d.board.unplug()
            assert (await waiting).status != 0
            await d.board.plug_in()
            assert (await d.mpremote("eval", "5")).out == "5\n"

    asyncio.run(go())


def test_a_heap_left_shut_by_an_interrupt_does_not_keep_the_board(desk: Any) -> None:
    busy = "while True:\n x = [1, 2, 3]\n"

    async def go() -> None:
        async with desk({"main.py": busy}) as d:
            for _ in range(4):
                await d.wait(lambda: d.board.powered)
                d.board.reset()
                await d.wait(lambda: len(d.all("boot")) == len(d.all("reset")))
                await d.mpremote("resume", "exec", "pass", status=None)
                assert (await d.mpremote("eval", "6")).out == "6\n"

    asyncio.run(go())


def test_firmware_joins_a_broker_through_the_boards_own_link(desk: Any) -> None:
    def answer(port: int, task: str) -> Any:
        deadline = time.monotonic() + PATIENCE_S
        with MasterNodeTransport("127.0.0.1", port) as master:
            while not master.get_nodes_by_status("ready"):
                assert time.monotonic() < deadline, master.get_node_info()
                time.sleep(0.01)
            master.send_task("board-1", {"id": task, "function": "add", "args": [20, 22]})
            while not (results := master.get_results("board-1")):
                assert time.monotonic() < deadline, "no result"
                time.sleep(0.01)
        return results["board-1"][0]["result"]

    async def go() -> None:
        broker = BrokerProcess("model")
        await broker.start()
        try:
            files = {name: source.read_text() for name, source in layout([product()]).items()}
            files["config.py"] = CONFIG.format(port=broker.port)
            async with desk(files, broker=("127.0.0.1", broker.port)) as d:
                await d.wait(lambda: any(e["name"] == "node_connected" for e in d.all("core")))
                assert d.board.link.open_connections == 1
                first = await asyncio.to_thread(answer, broker.port, "first")
                assert first == {"task_id": "first", "output": 42}
                await d.mpremote("reset")  # over the line, which stops main.py first
                await d.wait(lambda: len([e for e in d.all("core") if e["name"] == "node_connected"]) == 2)
                second = await asyncio.to_thread(answer, broker.port, "second")
                assert second == {"task_id": "second", "output": 42}
        finally:
            await broker.stop()

    asyncio.run(go())
