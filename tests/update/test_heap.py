"""A board with slots in a small heap: it starts, works, is updated; or refuses the update, and works on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from dcompute_sim.brokers.conformance import wire
from dcompute_sim.fwbuild.compile import compile_firmware
from dcompute_sim.fwbuild.firmware_files import product
from dcompute_sim.micropython.compiled import shim_sources
from dcompute_sim.micropython.provision import Emulator, mpy_cross

from dcompute._ota import messages
from dcompute.bundle import Bundle
from dcompute.updates import UpdateState

from .conftest import KEY, Bench, NewBench

TASKS = 1000
WINDOW = 8
TASK_BYTES = 200
SOURCE_KIB, COMPILED_KIB = {32: 46, 64: 64}, {32: 39, 64: 52}  # by the width of the emulator's words
STEP_KIB = {32: 0.4, 64: 0.7}
REFUSALS = 3


def work(board: Bench) -> None:
    """Give the board tasks, several at a time, and wait for all results."""
    done: list[int] = []
    given = seen = 0
    while len(done) < TASKS:
        while given < min(TASKS, len(done) + WINDOW):
            fields = {"id": f"t{given}", "function": "add", "args": [given, 1], "priority": given % 10 + 1}
            fill = "x" * (TASK_BYTES - len(json.dumps(fields | {"fill": ""})))
            task = json.dumps(fields | {"fill": fill}).encode()
            board.say(wire.publish("board", task, qos=1, packet_id=given + 1))
            given += 1
        board.until(lambda seen=seen: any(topic == "results" for topic, _ in board.seen[seen:]))
        news, seen = board.seen[seen:], len(board.seen)
        done += [body["result"]["output"] for topic, body in news if topic == "results"]
    assert sorted(done) == list(range(1, TASKS + 1))


def changed(folder: Path, version: str) -> Bundle:
    """The firmware in `folder` as another version, in which every file has changed."""
    ours = Bundle.from_folder(folder)
    mark = f"\n# {version}\n".encode()
    files = {path: data + mark if path.endswith(".py") else data for path, data in ours.files.items()}
    return Bundle(version, files, 20, release=2)


def lost(board: Bench) -> list[str]:
    """What it says of a want of memory, and of connections that ended."""
    return [line for line in board.lines if "MemoryError" in line or "connection lost" in line]


@pytest.mark.parametrize("compiled", [False, True], ids=["source", "compiled"])
def test_it_starts_works_and_is_updated(
    bench: NewBench, emulator: Emulator, tmp_path: Path, compiled: bool
) -> None:
    folder = product()
    if compiled:
        folder = tmp_path
        compile_firmware(mpy_cross(), folder, built_in=shim_sources())
    heap_kib = (COMPILED_KIB if compiled else SOURCE_KIB)[emulator.word_bits]
    board = bench(heap_kib=heap_kib, firmware=folder)
    board.start()
    work(board)
    update = board.begin(changed(folder, "v2"))
    for _ in range(3):  # amid it: what the step under way has in the heap makes room
        asked = update.progress()
        board.until(lambda asked=asked: update.progress() != asked)
        board.raw(messages.probe(KEY, bytes(16)))
    board.until(lambda: update.progress().over, within_s=900)
    assert (update.state, update.reason) == (UpdateState.CONFIRMED, "")
    board.run_s(2)
    assert board.slot() == "b - 0"
    assert board.status()["status"] == "ready"
    assert lost(board) == []
    assert board.stops == ["reset"]


@pytest.mark.parametrize("compiled", [False, True], ids=["source", "compiled"])
def test_with_less_it_is_updated_or_says_why_not(
    bench: NewBench, emulator: Emulator, tmp_path: Path, compiled: bool
) -> None:
    """Ever smaller heaps, until three could not be updated; all of them keep their connection.

    In eighths of a step once one could not: little below there (0.2 KiB) the board does not start any more.
    """
    folder = product()
    if compiled:
        folder = tmp_path
        compile_firmware(mpy_cross(), folder, built_in=shim_sources())
    heap_kib: float = (COMPILED_KIB if compiled else SOURCE_KIB)[emulator.word_bits]
    refused = 0
    while refused < REFUSALS:
        heap_kib -= STEP_KIB[emulator.word_bits] / (8 if refused else 1)
        board = bench(heap_kib=heap_kib, firmware=folder)
        board.start()
        connections = {body["inc"] for topic, body in board.seen if topic == "board/status"}
        update = board.begin(changed(folder, "v2"))
        board.until(lambda update=update: update.progress().over, within_s=900)
        assert [line for line in lost(board) if "connection lost: Mem" in line] == [], heap_kib
        if update.state is UpdateState.FAILED:
            refused += 1
            # Told once the offer is proven; before that nobody is answered, and the master knows the heap or
            # nothing.
            told = update.reason == "not enough memory for an update"
            assert told or "bytes of its heap were free)" in update.reason or "no heap" in update.reason, (
                update.reason
            )
            if "restart" in update.reason:  # it runs the new version, and cannot say so
                assert (board.slot(), board.status()["status"]) == ("b - 0", "ready")
            else:
                assert connections == {body["inc"] for topic, body in board.seen if topic == "board/status"}
                assert board.slot() == "a - 0"
        else:  # its start on trial takes a little more: the guard is a thread
            assert update.state in (UpdateState.CONFIRMED, UpdateState.ROLLED_BACK)
        board.board.power_cut()
