"""main.py and config.py: whatever is wrong, the board says so and goes on."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest
import simpy
from dcompute_sim.brokers.conformance.wire import PacketKind
from dcompute_sim.fwbuild.compile import compile_firmware
from dcompute_sim.micropython.board import Board
from dcompute_sim.micropython.emulated_config import WIFI_SSID
from dcompute_sim.micropython.lockstep import LockstepBoard
from dcompute_sim.micropython.provision import mpy_cross
from dcompute_sim.net.network import Network

from .conftest import Heard, Rig

REQUIRED = (
    "WIFI_SSID",
    "WIFI_PASSWORD",
    "MQTT_HOST",
    "MQTT_PORT",
    "MQTT_USER",
    "MQTT_PASSWORD",
    "MQTT_TLS",
    "NODE_TYPE",
)
STATIC = {
    "STATIC_IP": "10.0.0.5",
    "NETMASK": "255.255.255.0",
    "GATEWAY": "10.0.0.1",
    "DNS_SERVER": "10.0.0.1",
}
WRONG: list[tuple[str, dict[str, Any]]] = [
    ("WIFI_SSID", {"WIFI_SSID": ""}),
    ("WIFI_SSID", {"WIFI_SSID": 5}),
    ("WIFI_SSID", {"WIFI_SSID": "x" * 33}),
    ("WIFI_PASSWORD", {"WIFI_PASSWORD": "secret"}),
    ("STATIC_IP", STATIC | {"STATIC_IP": "10.0.0"}),
    ("NETMASK", STATIC | {"NETMASK": "255.255.255.256"}),
    ("GATEWAY", STATIC | {"GATEWAY": 7}),
    ("DNS_SERVER", STATIC | {"DNS_SERVER": None}),
    ("MQTT_HOST", {"MQTT_HOST": None}),
    ("MQTT_PORT", {"MQTT_PORT": "1883"}),
    ("MQTT_PORT", {"MQTT_PORT": 0}),
    ("MQTT_PORT", {"MQTT_PORT": 65536}),
    ("MQTT_PORT", {"MQTT_PORT": True}),
    ("MQTT_USER", {"MQTT_USER": 5}),
    ("MQTT_USER", {"MQTT_PASSWORD": "secret"}),
    ("MQTT_TLS", {"MQTT_TLS": "yes"}),
    ("MQTT_CA_FILE", {"MQTT_TLS": True, "MQTT_CA_FILE": "missing.der"}),
    ("NODE_TYPE", {"NODE_TYPE": ""}),
    ("NODE_ID", {"NODE_ID": "a/b"}),
    ("MQTT_KEEPALIVE", {"MQTT_KEEPALIVE": 0}),
    ("WATCHDOG_S", {"WATCHDOG_S": 5}),
    ("LED_PIN", {"LED_PIN": "2"}),
    ("QUEUE_LIMIT", {"QUEUE_LIMIT": 0}),
    ("HOLD_LIMIT", {"HOLD_LIMIT": 1.5}),
    ("WIFI_FULL_POWER", {"WIFI_FULL_POWER": 1}),
]


def test_a_missing_or_wrong_key_is_named(rig: Rig) -> None:
    async def go() -> None:
        async with rig:
            boards = [(key, rig.start(1, without=[key])) for key in REQUIRED]
            boards += [(key, rig.start(1, settings=settings)) for key, settings in WRONG]
            for key, (process, heard, _) in boards:
                await heard.wait(lambda heard=heard: heard.lines)
                assert heard.lines[0].startswith("main: config.py:"), (key, heard.lines)
                assert key in heard.lines[0], (key, heard.lines)
                assert "secret" not in heard.lines[0]
                assert process.running
                process.kill()

    asyncio.run(go())


@pytest.mark.parametrize("static", [False, True])
def test_wrong_password_then_right(rig: Rig, tmp_path: Path, static: bool) -> None:
    """Neither a wrong password nor a missing network is final, with DHCP and with a static address; nor (with
    the second) a heap that has no room for the words."""
    no_words = tmp_path / "wifi_reasons.py"
    no_words.write_text("raise MemoryError")
    said = ("202", "201") if static else ("wrong password", "network not found")

    async def go() -> None:
        async with rig:
            broker = await rig.raw_broker()
            board, heard, name = rig.start(
                broker.port,
                settings=STATIC if static else {},
                extra=[no_words] if static else [],
                radio={"password": "another1"},
            )
            await heard.line(f"not joined {WIFI_SSID!r}: {said[0]}")
            board.radio(ap=False, password=None)
            await heard.line(f"not joined {WIFI_SSID!r}: {said[1]}")
            board.radio(ap=True)
            session = await broker.session()
            joined = await heard.line(f"joined {WIFI_SSID!r} as")
            assert joined.endswith(" as 10.0.0.5") is static
            session.publish(name, {"id": "a"})
            await broker.until(lambda: session.published("results"))

    asyncio.run(go())


BAD_TASKS = """
def handle(task):
    kind = task["kind"]
    if kind == "raises":
        raise RuntimeError("no luck with \\u044f")
    if kind == "memory":
        return bytearray(10_000_000)
    if kind == "exit":
        raise SystemExit(3)
    if kind == "recursion":
        return handle(task)
    if kind == "object":
        return object()
    if kind == "nan":
        return float("nan")
    if kind == "deep":
        value = []
        for _ in range(40):
            value = [value]
        return value
    return kind
"""
BAD_KINDS = ("raises", "memory", "exit", "recursion", "object", "nan", "deep")


def test_no_task_ends_the_program(rig: Rig, tmp_path: Path) -> None:
    async def go() -> None:
        async with rig:
            broker = await rig.raw_broker()
            tasks = tmp_path / "bad" / "tasks.py"
            tasks.parent.mkdir()
            tasks.write_text(BAD_TASKS)
            _, heard, name = rig.start(broker.port, extra=[tasks])
            session = await broker.session()
            for number, kind in enumerate((*BAD_KINDS, "good"), 1):
                session.publish(name, {"id": kind, "kind": kind}, number)
            await broker.until(lambda: len(session.published("results")) == len(BAD_KINDS) + 1)
            results = {r["task_id"]: r["result"] for r in session.published("results")}
            assert results["good"] == {"task_id": "good", "output": "good"}
            for kind, error in zip(
                BAD_KINDS,
                (
                    "RuntimeError",
                    "MemoryError",
                    "SystemExit",
                    "RuntimeError",
                    "ValueError",
                    "ValueError",
                    "ValueError",
                ),
                strict=True,
            ):
                assert results[kind]["error"].startswith(error), kind
                assert error in results[kind]["traceback"], kind
            assert "no luck with я" in results["raises"]["error"]
            await broker.until(lambda: session.published(f"{name}/status")[-1]["status"] == "ready")
            assert [status["status"] for status in session.published(f"{name}/status")[:2]] == [
                "ready",
                "busy",
            ]
            assert not heard.all("crash")
            assert PacketKind.DISCONNECT not in session.kinds()

    asyncio.run(go())


LONG_TASKS = """
import time
from at_work import is_cancelled, progress
def handle(task):
    if task["id"] == "wrong":
        progress(2)
    steps = task.get("steps", 1000)
    for step in range(steps):
        if is_cancelled():
            return "gave up"
        progress(step / steps, "step %d" % step)
        time.sleep_ms(20)
    return "done"
"""


@pytest.mark.parametrize("compiled", [False, True], ids=["source", "compiled"])
def test_a_task_tells_how_far_it_is_and_hears_that_it_is_not_wanted(
    rig: Rig, tmp_path: Path, compiled: bool
) -> None:
    tasks = tmp_path / "long" / "tasks.py"
    tasks.parent.mkdir()
    tasks.write_text(LONG_TASKS)
    if compiled:
        rig.firmware = tmp_path / "compiled"
        compile_firmware(mpy_cross(), rig.firmware, [tasks])

    async def go() -> None:
        async with rig:
            broker, _, name = await rig.on_raw_broker(extra=[] if compiled else [tasks])
            session = await broker.session()
            await broker.until(lambda: session.published(f"{name}/status"))
            inc = session.published(f"{name}/status")[0]["inc"]
            asked = {"from": "asker", "boot": inc.partition(".")[0]}
            count = itertools.count(1)

            def say(n: int, opened: list[int], **fields: Any) -> None:
                session.publish(name, asked | {"n": n, "open": opened} | fields, next(count))

            def told(task_id: str, key: str) -> list[dict[str, Any]]:
                said = session.published("results/asker")
                return [each for each in said if each["task_id"] == task_id and key in each]

            say(1, [1], id="a")
            await broker.until(lambda: len(told("a", "progress")) >= 3)
            first, *_, last = told("a", "progress")
            about = {"node_id": name, "inc": inc, "task_id": "a", "attempt": 1, "n": 1}
            assert first == about | {"progress": 0.0, "text": "step 0"}
            assert 0 < last["progress"] < 1
            say(1, [1], id="a", cancel=True)
            await broker.until(lambda: told("a", "ok"))
            assert told("a", "ok")[0]["result"] == "gave up"
            say(2, [2], id="b")
            await broker.until(lambda: told("b", "progress"))
            say(2, [2], id="b", cancel=True)
            say(2, [], settle=True)  # before it has answered
            say(3, [3], id="wrong")
            await broker.until(lambda: told("wrong", "ok"))
            assert "progress is a number from 0 to 1, not 2" in told("wrong", "ok")[0]["error"]["message"]
            say(4, [4], id="c", steps=5)  # what was given up before it is not taken for this one
            await broker.until(lambda: told("c", "ok"))
            assert told("c", "ok")[0]["result"] == "done"
            session.publish(name, {"id": "bare", "steps": 5}, next(count))
            await broker.until(lambda: session.published("results"))
            assert session.published("results")[0]["result"]["output"] == "done"

    asyncio.run(go())


def test_the_board_is_reset_only_as_a_last_resort(rig: Rig, heard: Heard) -> None:
    """A program that cannot even start tries ten times over a minute before it resets the chip."""
    env = simpy.Environment()
    network = Network(env, 1, 0.005)
    broken = rig.folder / "broken" / "link.py"
    broken.parent.mkdir()
    broken.write_text("raise RuntimeError('the flash is bad')\n")
    board = Board(uid=bytes(6), files=[rig.firmware, broken], config=rig.config(1883))
    node = LockstepBoard(env, network.host("node"), rig.emulator, board, heard)
    try:
        node.start()
        env.run(until=50)
        assert heard.all("stopped") == []
        env.run(until=70)
        assert heard.all("stopped") == ["reset"]
        assert len(heard.all("started")) == 2
    finally:
        node.close()


def test_a_board_that_dies_of_memory_is_reset_and_tries_again(rig: Rig, heard: Heard) -> None:
    """In a heap too small to start it never gives up, and every reset is told."""
    env = simpy.Environment()
    network = Network(env, 1, 0.005)
    board = Board(uid=bytes(6), files=[rig.firmware], config=rig.config(1883), heap_bytes=24 * 1024)
    node = LockstepBoard(env, network.host("node"), rig.emulator, board, heard)
    try:
        node.start()
        env.run(until=200)
        assert heard.all("stopped") == ["reset"] * 3
        assert heard.all("started") == [1, 2, 3, 4]
        assert all("MemoryError" in line for line in heard.lines if "Error" in line)
        assert heard.all("crash") == []
    finally:
        node.close()
