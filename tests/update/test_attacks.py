"""What was done to updates, or could be, by whoever reaches the broker; each against a whole virtual board.

The attacker reads, drops, changes and repeats every message, and knows every key but the board's own.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from dcompute._ota import messages
from dcompute._ota.messages import BadMessage, Code, Want
from dcompute.bundle import Bundle
from dcompute.update_keys import board_key
from dcompute.updates import NodeUpdate, UpdateState

from .conftest import Bench, NewBench

SISTER = board_key(bytes(32), "sister")
EVIL = b"import os\nos.remove('main.py')\n"


def started(bench: NewBench) -> Any:
    board = bench()
    board.start()
    return board


def unharmed(board: Bench, before: dict[str, bytes]) -> bool:
    """Whether the board still runs what it ran, and nothing has changed on its flash."""
    return bool(board.contents() == before and board.status()["status"] == "ready" and board.crashes == [])


# --- to the board
# ---------------------------------------------------------------------------------------------


def flipped(payload: bytes, at: int) -> bytes:
    return payload[:at] + bytes([payload[at] ^ 1]) + payload[at + 1 :]


def test_a_changed_probe_or_offer_is_passed_over_without_a_word(
    bench: NewBench, make_version: Callable[..., Bundle], key: bytes
) -> None:
    board = started(bench)
    before = board.contents()
    probe = messages.probe(key, bytes(16))
    hello = board.hello()
    offer = messages.offer(key, hello, make_version("v2").manifest(), back=False)
    heard = len(board.heard)
    for honest in (probe, offer):
        for at in (*range(0, len(honest), 29), len(honest) - 1):
            board.raw(flipped(honest, at))
        for size in (0, 1, 4, 5, 20, len(honest) - 1):
            board.raw(honest[:size])
        board.raw(honest + b"\0")
    board.run_s(3)
    assert len(board.heard) == heard
    assert unharmed(board, before)
    board.raw(offer)  # and it is still good
    board.run_s(1)
    assert len(board.heard) > heard


def test_the_forgery_of_before_has_nothing_to_hold_on_to(
    bench: NewBench, make_version: Callable[..., Bundle], key: bytes
) -> None:
    """A claimed `inc` with the head of a manifest in it made signed bytes mean something else to each
    side."""
    board = started(bench)
    before = board.contents()
    hostile = b'{"bytes":1,"confirm_s":120,"files":{"main.py":"0"},"release":9,"version":"x"'
    for text in (
        b'{"offer":' + hostile + b',"sig":"' + b"0" * 64 + b'"}',
        hostile,
        b"\n".join((b"a.1", hostile)),
    ):
        board.raw(text)
    board.update = update = NodeUpdate(
        "board\n" + hostile.decode(), make_version("v2"), key, now_s=0, nonce=lambda: bytes(16)
    )
    board.run_s(3)
    assert update.state is UpdateState.WAITING
    assert unharmed(board, before)


@pytest.mark.parametrize("how", ["after the update", "after a reboot", "after a new connection", "late"])
def test_a_recorded_offer_is_worth_nothing(
    bench: NewBench, make_version: Callable[..., Bundle], key: bytes, how: str
) -> None:
    board = started(bench)
    hello = board.hello()
    recorded = messages.offer(key, hello, make_version("v2").manifest(), back=False)
    if how == "late":
        board.run_s(601)
    elif how in ("after a reboot", "after a new connection"):
        if how == "after a reboot":
            board.board.power_cut()
            board.run_s(1)
            board.start()
        else:
            connection = board.status()["inc"]
            board.host.link.down()
            board.run_s(60)
            board.host.link.up()
            board.until(lambda: board.status()["inc"] != connection and board.status()["status"] == "ready")
    elif how == "after the update":
        update = board.begin(make_version("v3"))
        board.until(lambda: update.progress().over)
        board.update = None
        board.run_s(2)
    before = board.contents()
    board.raw(recorded)
    heard = len(board.heard)
    board.run_s(5)
    assert len(board.heard) == heard
    assert unharmed(board, before)


def test_the_offer_under_way_again_is_answered_by_the_same_question(
    bench: NewBench, make_version: Callable[..., Bundle], key: bytes
) -> None:
    board = started(bench)
    hello = board.hello()
    bundle = make_version("v2")
    offer = messages.offer(key, hello, bundle.manifest(), back=False)
    session = messages.session_key(key, hello, offer)
    board.raw(offer)
    board.run_s(2)
    before = board.contents()
    for _ in range(3):
        board.raw(offer)
        board.run_s(1)
    said = [messages.read_want(message, "board", session) for message in board.heard[1:]]
    assert [isinstance(one, Want) and (one.number, one.at, one.path) for one in said] == [
        (number, 0, min(bundle.files)) for number in (1, 2, 3, 4)
    ]
    assert unharmed(board, before)


def test_offers_under_a_sisters_key_or_for_another_board(
    bench: NewBench, make_version: Callable[..., Bundle], key: bytes
) -> None:
    board = started(bench)
    before = board.contents()
    hello = board.hello()
    board.raw(messages.probe(SISTER, bytes(16)))
    board.raw(messages.offer(SISTER, hello, make_version("v2").manifest(), back=False))
    other = messages.Hello(bytes(16), bytes(16), False, bytes(16), 1, bytes(16), bytes(16), 0)
    board.raw(messages.offer(key, other, make_version("v2").manifest(), back=False))
    heard = len(board.heard)
    board.run_s(3)
    assert len(board.heard) == heard
    assert unharmed(board, before)


def doubled(payload: bytes) -> list[bytes]:
    return [payload, payload]


def damaged(payload: bytes) -> list[bytes]:
    return [flipped(payload, 12) if payload[:5] == b"DCU2P" and len(payload) > 40 else payload]


def cut(payload: bytes) -> list[bytes]:
    return [payload[:-20] if payload[:5] == b"DCU2P" else payload]


def junk_before(payload: bytes) -> list[bytes]:
    return [b"DCU2P" + bytes(60), payload]


class Reordered:
    """Each piece after the one that follows it; the last of all is sent when asked for again."""

    def __init__(self) -> None:
        self.held: list[bytes] = []

    def __call__(self, payload: bytes) -> list[bytes]:
        if payload[:5] != b"DCU2P":
            return [payload]
        sent, self.held = [*self.held, payload], [payload]
        return sent


@pytest.mark.parametrize(
    ("attack", "state"),
    [
        (doubled, UpdateState.CONFIRMED),
        (junk_before, UpdateState.CONFIRMED),
        (Reordered(), UpdateState.CONFIRMED),
        (damaged, UpdateState.FAILED),
        (cut, UpdateState.FAILED),
    ],
    ids=["doubled", "junk before", "out of order", "changed", "cut"],
)
def test_pieces_under_attack_are_taken_as_they_were_sent_or_not_at_all(
    bench: NewBench,
    make_version: Callable[..., Bundle],
    attack: Callable[[bytes], list[bytes]],
    state: UpdateState,
) -> None:
    board = started(bench)
    board.attack = attack
    bundle = make_version("v2")
    update = board.begin(bundle, patience_s=60)
    board.until(lambda: update.progress().over)
    assert update.state is state
    board.run_s(2)
    if state is UpdateState.CONFIRMED:
        assert {path: board.contents()[f"b/{path}"] for path in bundle.files} == dict(bundle.files)
    else:
        assert board.slot() == "a - 0"
        assert "b/version.json" not in board.contents()
    assert board.crashes == []


def test_pieces_of_another_session_are_passed_over(
    bench: NewBench, make_version: Callable[..., Bundle], key: bytes
) -> None:
    """Substituted pieces: the attacker serves `main.py` after an offer that was genuine."""
    board = started(bench)
    hello = board.hello()
    offer = messages.offer(key, hello, make_version("v2", main_py=EVIL).manifest(), back=False)
    board.attack = lambda payload: [] if payload[:5] == b"DCU2P" else [payload]
    board.begin(make_version("v2"))
    board.run_s(2)
    session = messages.session_key(key, hello, offer)
    for number in range(1, 20):
        for proof in (session, SISTER, bytes(32)):
            board.raw(messages.piece(proof, number, EVIL, end=True))
    board.run_s(3)
    assert EVIL not in board.contents().values()
    assert board.contents().get("b/part", b"") == b""


# --- to the master
# --------------------------------------------------------------------------------------------


def test_the_master_believes_nothing_that_is_not_proven(
    bench: NewBench, make_version: Callable[..., Bundle], key: bytes
) -> None:
    """Faked `confirmed`, faked `failed`, wants under no key, and hellos that were recorded."""
    board = started(bench)
    old = board.hello()
    recorded = board.heard[-1]
    bundle = make_version("v2")
    running = messages.digest_of(bundle.manifest())
    update = board.begin(bundle)
    board.attack = lambda payload: []  # from here on the attacker answers for the board
    board.run_s(1)
    before = update.progress()
    fakes = [recorded, b"DCU2H", b"DCU2S\x05board\x02because" + bytes(16)]
    told = old.board_nonce + bytes([0]) + bytes(4) + running + bytes(32) + bytes(4)
    for number, proof in itertools.product(range(40), (SISTER, bytes(32))):
        body = b"DCU2H\x05board" + number.to_bytes(16, "big") + told
        fakes.append(messages.tagged(proof, body))
        fakes += [messages.tagged(proof, b"DCU2S\x05board" + bytes([code]) + b"so") for code in Code]
    for fake in fakes:
        with pytest.raises(BadMessage):
            update.received(fake, board.env.now)
    assert update.progress() == before
    for status in ("ready", "dead", "offline"):
        update.seen(status, {"version": "v2", "failed": "v2"}, board.env.now)
    assert update.progress() == before


def test_a_status_with_the_new_version_is_no_confirmation(
    bench: NewBench, make_version: Callable[..., Bundle]
) -> None:
    board = started(bench)
    board.attack = lambda payload: []
    update = board.begin(make_version("v2"), patience_s=30)
    update.seen("ready", {"version": "v2"}, board.env.now + 2)
    board.until(lambda: update.progress().over)
    assert update.state is UpdateState.FAILED


def test_two_masters_with_one_version_do_not_hinder_each_other(
    bench: NewBench, make_version: Callable[..., Bundle], key: bytes
) -> None:
    board = started(bench)
    bundle = make_version("v2")
    first = board.begin(bundle)
    board.until(lambda: first.state is UpdateState.SENDING)
    nonces = itertools.count(10**6)
    second = NodeUpdate(
        "board", bundle, key, now_s=board.env.now, nonce=lambda: next(nonces).to_bytes(16, "big")
    )
    receive = first.received

    def both(message: bytes, now_s: float) -> list[bytes]:
        answers: list[bytes] = []
        for update in (receive, second.received):
            with contextlib.suppress(BadMessage):
                answers += update(message, now_s)
        return answers

    first.received = both
    board.publish(second.seen("ready", {"version": "v1"}, board.env.now))
    while not (first.progress().over and second.progress().over):
        board.publish(second.tick(board.env.now))
        board.run_s(0.5)
    assert (first.state, second.state) == (UpdateState.CONFIRMED, UpdateState.CONFIRMED)
    assert board.stops == ["reset"]
