"""The board's side of an update: what it takes, what it refuses, and that a refusal changes nothing."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
from dcompute_sim.brokers.conformance import wire

from dcompute.bundle import Bundle
from dcompute.updates import UpdateState


def finish(board: Any, update: Any) -> UpdateState:
    board.until(lambda: update.progress().over, within_s=900)
    state: UpdateState = update.state
    return state


def test_a_board_is_updated_twice(bench: Any, make_version: Any) -> None:
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
    states = [body["state"] for topic, body in board.seen if "state" in body]
    assert states == ["staged", "switching"] * 2


def test_files_that_are_there_already_are_not_sent_again(bench: Any, make_version: Any) -> None:
    board = bench()
    board.start()
    finish(board, board.begin(make_version("v2")))
    finish(board, board.begin(make_version("v3")))
    sent = len(board.sent)
    finish(board, board.begin(make_version("v4")))  # over v2, which differs in one file
    paths = {json.loads(payload).get("path") for payload in board.sent[sent:]}
    assert paths == {None, "tasks.py"}


def signed(bundle: Bundle, key: bytes, inc: str, **changes: Any) -> bytes:
    about = json.loads(bundle.manifest()) | changes
    text = json.dumps(about, sort_keys=True, separators=(",", ":"))
    if not changes:
        assert text.encode() == bundle.manifest()
    proof = hmac.new(key, f"{inc}\n{text}".encode(), hashlib.sha256).hexdigest()
    return f'{{"offer":{text},"sig":"{proof}"}}'.encode()


OFFERS: list[tuple[str, dict[str, Any], Callable[[Bundle, bytes, str], bytes], str]] = [
    (
        "unsigned",
        {},
        lambda b, key, inc: b'{"offer":%s}' % b.manifest(),
        "it is not signed",
    ),
    ("wrong key", {}, lambda b, key, inc: signed(b, b"another", inc), "the signature is not that"),
    ("another connection's", {}, lambda b, key, inc: signed(b, key, inc + "0"), "the signature is not that"),
    (
        "tampered",
        {},
        lambda b, key, inc: signed(b, key, inc).replace(b'bytes":', b'bytes":1'),
        "the signature is not that",
    ),
    ("signature of another kind", {}, lambda b, key, inc: b'{"offer":{},"sig":5}', "it is not signed"),
    ("short", {}, lambda b, key, inc: b'{"offer":', "it is not signed"),
    ("in another order", {}, lambda b, key, inc: b'{"sig":"","offer":{}}', ""),
    (
        "board without a key",
        {"UPDATE_KEY": None},
        lambda b, key, inc: signed(b, key, inc),
        "config.py has no UPDATE_KEY",
    ),
    ("too large", {}, lambda b, key, inc: signed(b, key, inc, bytes=10**15), "too large: it needs"),
    (
        "outside the slot",
        {},
        lambda b, key, inc: signed(b, key, inc, files={"main.py": "", "../boot.py": ""}),
        "no name for a file of a slot",
    ),
    (
        "without a program",
        {},
        lambda b, key, inc: signed(b, key, inc, files={"a.py": ""}),
        "no main.py in it",
    ),
    ("the one that runs", {}, lambda b, key, inc: signed(b, key, inc, version="v1"), "runs already"),
]


@pytest.mark.parametrize(("name", "config", "offer", "reason"), OFFERS, ids=[offer[0] for offer in OFFERS])
def test_a_refused_offer_leaves_the_board_as_it_was(
    bench: Any, make_version: Any, key: bytes, name: str, config: dict[str, Any], offer: Any, reason: str
) -> None:
    board = bench(**config)
    board.start()
    before = board.contents()
    board.raw(offer(make_version("v2"), key, board.status()["inc"]))
    board.run_s(3)
    answers = [body for topic, body in board.seen if topic == "updates"]
    assert [body["state"] for body in answers] == (["refused"] if reason else [])
    assert all(reason in body["reason"] for body in answers)
    assert board.contents() == before
    assert board.status()["status"] == "ready"
    assert board.stops == []
    assert board.crashes == []


def test_a_recorded_offer_is_good_for_nothing_after_a_reboot(bench: Any, make_version: Any) -> None:
    board = bench()
    board.start()
    board.begin(make_version("v2"), patience_s=1)
    recorded = board.sent[0]
    board.update = None
    board.run_s(3)
    board.board.power_cut()
    board.run_s(1)
    board.start()
    before = board.contents()
    board.raw(recorded)
    board.run_s(3)
    assert board.seen[-1][1]["state"] == "refused"
    assert board.contents() == before


def test_unsigned_updates_where_the_board_allows_them(bench: Any, make_version: Any) -> None:
    board = bench(UPDATE_KEY=None, UPDATE_UNSIGNED=True)
    board.start()
    assert finish(board, board.begin(make_version("v2"), key=None)) is UpdateState.CONFIRMED


def test_a_piece_that_is_not_as_offered_never_runs(bench: Any, make_version: Any) -> None:
    board = bench()
    board.start()
    update = board.begin(make_version("v2"))
    honest = update._answer

    def forged(path: str, at: int, now_s: float) -> list[bytes]:
        (payload,) = honest(path, at, now_s)
        piece = json.loads(payload)
        return [json.dumps(piece | {"data": "ZXZpbA==", "end": True}).encode()]

    update._answer = forged
    assert finish(board, update) is UpdateState.FAILED
    assert "the sha256 of compute_node.py is not as offered" in update.reason
    assert board.slot() == "a - 0"
    assert not (board.flash / "b" / "version.json").exists()


@pytest.mark.parametrize("how", ["wifi", "power"])
def test_what_is_there_is_not_asked_for_again(bench: Any, make_version: Any, how: str) -> None:
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
    pieces = [json.loads(payload) for payload in board.sent if b'"at"' in payload]
    asked = [(piece["path"], piece["at"]) for piece in pieces]
    assert len(asked) - len(set(asked)) <= 10  # at most the piece on its way, at each interruption


BROKEN = {
    "crashes": b"raise RuntimeError('broken')\n",
    "hangs": b"import time\nwhile True:\n    time.sleep(1)\n",
    "ends": b"print('nothing to do')\n",
    "is no Python": b"def main(:\n",
}


@pytest.mark.parametrize("main", BROKEN.values(), ids=list(BROKEN))
def test_a_broken_version_is_rolled_back_and_told_apart(bench: Any, make_version: Any, main: bytes) -> None:
    board = bench()
    board.start()
    update = board.begin(make_version("v2", main_py=main))
    assert finish(board, update) is UpdateState.ROLLED_BACK
    assert update.reason == "the new version did not get ready; v1 runs again"
    assert board.slot() == "a - 0"
    assert finish(board, board.begin(make_version("v3"))) is UpdateState.CONFIRMED
    assert "failed" not in board.status()["capabilities"]


def test_a_task_at_work_is_finished_first(bench: Any, make_version: Any) -> None:
    board = bench()
    board.start()
    task = {"id": "long", "function": "sleep", "args": [60]}
    board._say(wire.publish("board", json.dumps(task).encode(), qos=1, packet_id=9))
    board.run_s(2)
    assert finish(board, board.begin(make_version("v2"))) is UpdateState.CONFIRMED
    results = [body for topic, body in board.seen if topic == "results"]
    assert [result["result"].get("output") for result in results] == [60]


def test_a_full_flash_is_said(bench: Any, make_version: Any) -> None:
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


def test_a_board_without_memory_for_it_says_so_and_works_on(bench: Any, make_version: Any) -> None:
    board = bench(heap_kib=128)
    tasks = board.flash / "a" / "tasks.py"
    text = tasks.read_bytes()
    tasks.unlink()
    tasks.write_bytes(text + FILL)
    board.start()
    board._say(wire.publish("board", b'{"id": "0", "function": "fill", "args": [8000]}', qos=1, packet_id=9))
    board.until(lambda: any(topic == "results" for topic, _ in board.seen))
    for _ in range(2):
        update = board.begin(make_version("v2"))
        assert (finish(board, update), update.reason) == (
            UpdateState.FAILED,
            "not enough memory for an update",
        )
    board._say(wire.publish("board", b'{"id": "1", "function": "add", "args": [1]}', qos=1, packet_id=9))
    board.until(lambda: sum(topic == "results" for topic, _ in board.seen) == 2)
    assert board.slot() == "a - 0"
    assert {body["inc"] for topic, body in board.seen if topic == "board/status"} == {board.status()["inc"]}
    assert not [line for line in board.lines if "connection lost" in line]


def test_a_board_with_half_the_memory_of_an_esp32_is_updated(bench: Any, make_version: Any) -> None:
    board = bench(heap_kib=128)
    board.start()
    assert finish(board, board.begin(make_version("v2"))) is UpdateState.CONFIRMED
