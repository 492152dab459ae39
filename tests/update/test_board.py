"""The board's side of an update: what it takes, what it refuses, and that a refusal changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dcompute_sim.brokers.conformance import wire
from dcompute_sim.micropython.provision import Emulator

from dcompute._ota import messages
from dcompute._ota.messages import Told
from dcompute.bundle import BadBundle, Bundle
from dcompute.updates import UpdateState

from .conftest import Bench, NewBench


def finish(board: Bench, update: Any) -> UpdateState:
    board.until(lambda: update.progress().over, within_s=900)
    state: UpdateState = update.state
    return state


def test_a_board_is_updated_twice(bench: NewBench, make_version: Callable[..., Bundle]) -> None:
    board = bench()
    board.start()
    assert board.status()["capabilities"]["version"] == "v1"
    for version, slot in (("v2", "b - 0"), ("v3", "a - 0")):
        began_s = board.env.now
        update = board.begin(make_version(version))
        assert (finish(board, update), update.reason) == (UpdateState.CONFIRMED, "")
        assert board.env.now - began_s < 10, "a step waits for something"
        board.run_s(2)
        assert board.status()["status"] == "ready"
        assert board.slot() == slot
        assert board.contents()[f"{slot[0]}/version.json"] == update.bundle.manifest()
    assert board.crashes == []
    assert board.stops == ["reset", "reset"]
    assert [message[:5] for message in board.heard if message[:5] not in (b"DCU2H", b"DCU2W")] == [
        b"DCU2S"
    ] * 4


def test_files_that_are_there_already_are_not_sent_again(
    bench: NewBench, make_version: Callable[..., Bundle]
) -> None:
    board = bench()
    board.start()
    finish(board, board.begin(make_version("v2")))
    finish(board, board.begin(make_version("v3")))
    count = len(board.heard)
    finish(board, board.begin(make_version("v4")))  # over v2, which differs in one file
    assert wanted(board.heard[count:]) == {"tasks.py"}


def wanted(heard: list[bytes]) -> set[str]:
    """The paths that a board asked for."""
    return {message[19:-16].decode() for message in heard if message.startswith(b"DCU2W")}


def manifest(bundle: Bundle, **changes: Any) -> bytes:
    about = json.loads(bundle.manifest()) | changes
    return json.dumps(about, sort_keys=True, separators=(",", ":")).encode()


def offer(board: Bench, key: bytes, text: bytes, *, back: bool = False) -> list[Told]:
    """Offer a manifest in good form, and return what the board says to it."""
    hello = board.hello(key)
    payload = messages.offer(key, hello, text, back=back)
    count = len(board.heard)
    board.raw(payload)
    board.run_s(3)
    session = messages.session_key(key, hello, payload)
    said = [messages.read_want(message, "board", session) for message in board.heard[count:]]
    return [one for one in said if isinstance(one, Told)]


OFFERS: list[tuple[str, dict[str, Any], str]] = [
    ("too large", {"bytes": 10**15}, "too large: it needs"),
    ("outside the slot", {"files": {"main.py": "", "../boot.py": ""}}, "no name for a file of a slot"),
    ("without a program", {"files": {"a.py": ""}}, "no main.py in it"),
    ("the release that runs", {"release": 1}, "its release, 1, is not above the one that runs, 1"),
    ("an older one", {"release": 0}, "its release, 0, is not above the one that runs, 1"),
    ("an invalid release", {"release": "9"}, "the manifest: TypeError"),
    ("invalid files", {"files": 5}, "the manifest: TypeError"),
]


@pytest.mark.parametrize(("name", "changes", "reason"), OFFERS, ids=[offer[0] for offer in OFFERS])
def test_a_refused_offer_leaves_the_board_as_it_was(
    bench: NewBench,
    make_version: Callable[..., Bundle],
    key: bytes,
    name: str,
    changes: dict[str, Any],
    reason: str,
) -> None:
    board = bench()
    board.start()
    before = board.contents()
    (told,) = offer(board, key, manifest(make_version("v2"), **changes))
    assert reason in told.reason
    assert board.contents() == before
    assert board.status()["status"] == "ready"
    assert (board.stops, board.crashes) == ([], [])


def test_the_operator_may_go_back(bench: NewBench, make_version: Callable[..., Bundle], key: bytes) -> None:
    board = bench()
    board.start()
    older = make_version("v0", release=0)
    assert finish(board, board.begin(older, back=True)) is UpdateState.CONFIRMED


def test_a_board_without_a_key_takes_nothing_and_says_nothing(
    bench: NewBench, make_version: Callable[..., Bundle]
) -> None:
    board = bench(update_key=b"")
    board.start()
    update = board.begin(make_version("v2"), patience_s=40)
    assert finish(board, update) is UpdateState.FAILED
    assert "another one is on it, or none" in update.reason
    assert board.heard == []


def test_a_packed_folder_that_was_changed_is_no_version(
    make_version: Callable[..., Bundle], tmp_path: Path
) -> None:
    bundle = make_version("v2", release=7)
    for path, data in bundle.files.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(data)
    (tmp_path / "version.json").write_bytes(bundle.manifest())
    read = Bundle.from_folder(tmp_path)
    assert (read.version, read.release) == ("v2", 7)
    (tmp_path / "tasks.py").write_bytes(b"other")
    with pytest.raises(BadBundle, match=r"tasks\.py is not what version\.json says"):
        Bundle.from_folder(tmp_path)


@pytest.mark.parametrize("how", ["wifi", "power"])
def test_what_is_there_is_not_asked_for_again(
    bench: NewBench, make_version: Callable[..., Bundle], how: str
) -> None:
    """Five interruptions: the update goes on where it was."""
    board = bench()
    board.start()
    bundle = make_version("v2")
    update = board.begin(bundle)
    for part in range(1, 6):
        board.until(lambda part=part: update.sent_bytes > part * bundle.size_bytes // 6)
        if how == "power":
            board.board.power_cut()
            board.run_s(1)
            board.board.start()
        else:
            board.board.radio(ap=False)
            board.host.link.down()
            board.run_s(45)
            board.board.radio(ap=True)
            board.host.link.up()
    assert finish(board, update) is UpdateState.CONFIRMED
    asked = [message[15:-16] for message in board.heard if message.startswith(b"DCU2W")]  # offset and path
    assert len(asked) - len(set(asked)) <= 10  # at most the piece on its way, at each interruption


BROKEN = {
    "crashes": b"raise RuntimeError('broken')\n",
    "hangs": b"import time\nwhile True:\n    time.sleep(1)\n",
    "ends": b"print('nothing to do')\n",
    "is no Python": b"def main(:\n",
}


@pytest.mark.parametrize("main", BROKEN.values(), ids=list(BROKEN))
def test_a_broken_version_is_rolled_back_and_told_apart(
    bench: NewBench, make_version: Callable[..., Bundle], main: bytes
) -> None:
    board = bench()
    board.start()
    update = board.begin(make_version("v2", main_py=main))
    assert finish(board, update) is UpdateState.ROLLED_BACK
    assert update.reason == "the new version did not get ready; the one before runs again"
    assert board.slot() == "a - 0"
    assert finish(board, board.begin(make_version("v3"))) is UpdateState.CONFIRMED
    assert "failed" not in board.status()["capabilities"]


def test_a_task_at_work_is_finished_first(bench: NewBench, make_version: Callable[..., Bundle]) -> None:
    board = bench()
    board.start()
    task = {"id": "long", "function": "sleep", "args": [60]}
    board.say(wire.publish("board", json.dumps(task).encode(), qos=1, packet_id=9))
    board.run_s(2)
    assert finish(board, board.begin(make_version("v2"))) is UpdateState.CONFIRMED
    results = [body for topic, body in board.seen if topic == "results"]
    assert [result["result"].get("output") for result in results] == [60]


def test_a_full_flash_is_said(bench: NewBench, make_version: Callable[..., Bundle]) -> None:
    """The board's own word for it, from the first piece it cannot write."""
    full = b"import builtins\n_open = builtins.open\n"
    full += b"def open(path, mode='r'):\n"
    full += b"    if 'a' in mode:\n        raise OSError(28)\n    return _open(path, mode)\n"
    full += b"builtins.open = open\n"
    board = bench()
    (board.flash / "boot.py").unlink()
    (board.flash / "boot.py").write_bytes(full)
    board.start()
    update = board.begin(make_version("v2"))
    assert (finish(board, update), update.reason) == (UpdateState.FAILED, "the flash is full")
    assert board.slot() == "a - 0"
    assert board.status()["status"] == "ready"


FILL = b"""
import gc
hoard = []
def fill(left_bytes):
    gc.collect()
    while gc.mem_free() > left_bytes:
        hoard.append(bytearray(256))
FUNCTIONS["fill"] = fill
"""


def test_a_board_without_memory_for_it_says_so_and_works_on(
    bench: NewBench, emulator: Emulator, make_version: Callable[..., Bundle]
) -> None:
    board = bench(heap_kib=128)
    tasks = board.flash / "a" / "tasks.py"
    text = tasks.read_bytes()
    tasks.unlink()
    tasks.write_bytes(text + FILL)
    board.start()
    left = 125 * emulator.word_bits  # bytes: what it answers with is half as large where words are
    fill = f'{{"id": "0", "function": "fill", "args": [{left}]}}'
    board.say(wire.publish("board", fill.encode(), qos=1, packet_id=9))
    board.until(lambda: any(topic == "results" for topic, _ in board.seen))
    for _ in range(2):
        update = board.begin(make_version("v2"))
        assert finish(board, update) is UpdateState.FAILED
        assert "it has no heap left to answer" in update.reason
    board.say(wire.publish("board", b'{"id": "1", "function": "add", "args": [1]}', qos=1, packet_id=9))
    board.until(lambda: sum(topic == "results" for topic, _ in board.seen) == 2)
    assert board.slot() == "a - 0"
    assert {body["inc"] for topic, body in board.seen if topic == "board/status"} == {board.status()["inc"]}
    assert not [line for line in board.lines if "connection lost" in line]


def test_a_board_with_half_the_memory_of_an_esp32_is_updated(
    bench: NewBench, make_version: Callable[..., Bundle]
) -> None:
    board = bench(heap_kib=128)
    board.start()
    assert finish(board, board.begin(make_version("v2"))) is UpdateState.CONFIRMED
