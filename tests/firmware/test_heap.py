"""The firmware in a small heap: 10,000 tasks without error or growth, from source; compiled, a fifth of them:
what it does is the same, and what it starts with is less."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from dcompute_sim.brokers.conformance import wire
from dcompute_sim.fwbuild.compile import compile_firmware
from dcompute_sim.micropython.compiled import shim_sources
from dcompute_sim.micropython.provision import mpy_cross

from ..conftest import PATIENCE_S
from .conftest import Rig

TASKS = 10_000
FEWER = 2000
WINDOW = 8
TASK_BYTES = 200
# KiB, by the width of the emulator's words: the chip's, and that of machines without the 32-bit build. What
# stale words on the stack keep alive in the heap changes by up to 3 KiB with any change of the emulator.
SOURCE = {32: 42, 64: 64}
COMPILED = {32: 30, 64: 40}
REMEMBERING = {32: 53, 64: 73}
REMEMBERING_COMPILED = {32: 36, 64: 48}
SLOT = {32: 42, 64: 64}


def heap_bytes(rig: Rig, kib: Mapping[int, float]) -> int:
    return int(kib[rig.emulator.word_bits] * 1024)


def task(number: int, asked: dict[str, Any]) -> bytes:
    fields = asked | {
        "id": f"t{number}",
        "function": "add",
        "args": [number, 1],
        "priority": number % 10 + 1,
        "fill": "",
    }
    fields["fill"] = "x" * (TASK_BYTES - len(json.dumps(fields)))
    return json.dumps(fields).encode()


async def work(
    rig: Rig, count: int, window: int = WINDOW, end_to_end: bool = False, **board: Any
) -> tuple[list[int], list[int], list[str]]:
    """(outputs, heap in use after the 1,000th and the last task, lines printed)."""
    async with rig:
        broker = await rig.raw_broker()
        process, heard, name = rig.start(broker.port, settings={"MQTT_KEEPALIVE": 20}, **board)
        outputs: list[int] = []
        done = asyncio.Event()

        opened: dict[int, None] = {}
        numbers = itertools.count(1)

        def on_publish(session: Any, publish: wire.Publish) -> None:
            session.packets.clear()
            if publish.topic != ("results/asker" if end_to_end else "results"):
                return
            message = json.loads(publish.payload)
            if end_to_end:
                assert message["ok"], message
                del opened[message["n"]]
            outputs.append(message["result"] if end_to_end else message["result"]["output"])
            if len(outputs) in (1000, count):
                done.set()
            following = len(outputs) + window
            if following <= count and len(outputs) != 1000:
                give(session, following)

        def give(session: Any, number: int) -> None:
            asked: dict[str, Any] = {}
            if end_to_end:
                n = next(numbers)
                opened[n] = None
                asked = {"from": "asker", "boot": boot, "n": n, "open": list(opened)}
            session.send(wire.publish(name, task(number, asked), qos=1, packet_id=number))

        await heard.line("connected to")
        session = await broker.session()
        status = session.published(f"{name}/status")[-1]
        boot = status["inc"].partition(".")[0]
        window = status["capabilities"]["credit"] if end_to_end else window
        broker.on_publish = on_publish
        for number in range(1, window + 1):
            give(session, number)
        in_use = []
        for _ in (1000, count):
            before = -1
            while not done.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PATIENCE_S):
                        await done.wait()
                if not done.is_set() and len(outputs) == before:  # a busy machine is slow, but goes on
                    state = (len(outputs), len(broker.sessions), process.running)
                    pytest.fail(f"results, sessions, running: {state}; it printed {heard.lines}")
                before = len(outputs)
            done.clear()
            await asyncio.sleep(0.2)  # until its status is published and acknowledged
            in_use.append((await process.memory())[0])
            if len(in_use) == 1:
                give(session, 1000 + window)
        assert len(broker.sessions) == 1
        return outputs, in_use, heard.lines


@pytest.mark.parametrize(
    ("compiled", "kib", "tasks"),
    [(False, SOURCE, TASKS), (True, COMPILED, FEWER)],
    ids=["source", "compiled"],
)
def test_ten_thousand_tasks_in_a_small_heap(
    rig: Rig, tmp_path: Path, compiled: bool, kib: Mapping[int, float], tasks: int
) -> None:
    if compiled:
        rig.firmware = tmp_path / "compiled"
        compile_firmware(mpy_cross(), rig.firmware, built_in=shim_sources())
    outputs, in_use, lines = asyncio.run(work(rig, tasks, heap_bytes=heap_bytes(rig, kib)))
    assert sorted(outputs)[:tasks] == list(range(2, tasks + 2))
    assert not [line for line in lines if "MemoryError" in line]
    assert in_use[1] - in_use[0] < 1024


@pytest.mark.parametrize(
    ("compiled", "kib"), [(False, REMEMBERING), (True, REMEMBERING_COMPILED)], ids=["source", "compiled"]
)
def test_end_to_end_too(rig: Rig, tmp_path: Path, compiled: bool, kib: Mapping[int, float]) -> None:
    """As many as its credit, each remembered until it is settled; the ring comes with the first."""
    if compiled:
        rig.firmware = tmp_path / "compiled"
        compile_firmware(mpy_cross(), rig.firmware)
    outputs, in_use, lines = asyncio.run(work(rig, FEWER, end_to_end=True, heap_bytes=heap_bytes(rig, kib)))
    assert sorted(outputs)[:FEWER] == list(range(2, FEWER + 2))
    assert not [line for line in lines if "MemoryError" in line]
    assert in_use[1] - in_use[0] < 1024


def test_from_a_slot_too(rig: Rig) -> None:
    outputs, in_use, lines = asyncio.run(work(rig, FEWER, heap_bytes=heap_bytes(rig, SLOT), slots=True))
    assert sorted(outputs)[:FEWER] == list(range(2, FEWER + 2))
    assert not [line for line in lines if "MemoryError" in line]
    assert in_use[1] - in_use[0] < 1024
