"""The master's side of an update: the state machine, and `dcompute update` against boards over a broker."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dcompute_sim.brokers.mosquitto import MosquittoBroker
from dcompute_sim.fwbuild.firmware_files import product
from dcompute_sim.micropython.board import Board
from dcompute_sim.micropython.emulated_config import emulated_config
from dcompute_sim.micropython.process import FirmwareProcess
from dcompute_sim.micropython.provision import Emulator
from typer.testing import CliRunner

from benchmarks.simulated_boards import Speaker
from dcompute._ota.campaign import Campaign, WavePlan, waves_of
from dcompute._ota.messages import BadMessage
from dcompute._ota.progress import UpdateProgress, Updates
from dcompute.bundle import Bundle
from dcompute.cli import app
from dcompute.update_keys import UpdateKeys
from dcompute.updates import NodeUpdate, UpdateState

BUNDLE = Bundle("v2", {"main.py": b"x" * 1200, "a.py": b""}, release=2)
KEY = bytes(range(32))
NEW = hashlib.sha256(BUNDLE.manifest()).digest()[:16]


def begun(key: bytes = KEY, patience_s: float = 300) -> NodeUpdate:
    nonces = itertools.count(1)
    return NodeUpdate(
        "n", BUNDLE, key, now_s=0, nonce=lambda: next(nonces).to_bytes(16, "big"), patience_s=patience_s
    )


@pytest.fixture
def board(speaker: Any) -> Any:
    return speaker("n", KEY)


def started(board: Speaker, patience_s: float = 300) -> tuple[NodeUpdate, bytes]:
    """An update that has made an offer."""
    update = begun(patience_s=patience_s)
    (probe,) = update.seen("ready", {"version": "v1"}, 0)
    (offer,) = update.received(board.hello(probe), 0)
    return update, offer


def test_an_offer_for_each_probe_and_the_pieces_asked_for(board: Speaker) -> None:
    update, offer = started(board)
    assert update.state is UpdateState.OFFERED
    (piece,) = update.received(board.want(offer, 1, 1024, "main.py"), 1)
    assert board.piece(offer, piece) == (1, True, b"x" * 176)
    assert (update.state, update.sent_bytes) == (UpdateState.SENDING, 1024)
    for again in (board.want(offer, 1, 1024, "main.py"), board.want(offer, 0, 0, "main.py")):
        with pytest.raises(BadMessage, match="that was answered"):
            update.received(again, 2)
    (probe,) = update.seen("ready", {"version": "v1"}, 20)
    (newer,) = update.received(board.hello(probe), 20)
    assert newer[5:37] != offer[5:37]
    with pytest.raises(BadMessage, match="not under this board's key"):
        update.received(board.want(offer, 2, 0, "main.py"), 21)
    (empty,) = update.received(board.want(newer, 1, 0, "a.py"), 21)
    assert board.piece(newer, empty) == (1, True, b"")
    with pytest.raises(BadMessage, match="not offered"):
        update.received(board.want(newer, 2, 0, "other.py"), 21)


def test_one_offer_for_each_probe_byte_for_byte(board: Speaker) -> None:
    """A replayed probe makes a board answer again, under another challenge of its own."""
    update = begun()
    (probe,) = update.seen("ready", {"version": "v1"}, 0)
    (offer,) = update.received(board.hello(probe), 0)
    assert update.received(board.hello(probe), 1) == [offer]


def test_what_another_master_brings_is_watched(board: Speaker) -> None:
    update = begun()
    (probe,) = update.seen("ready", {"version": "v1"}, 0)
    assert update.received(board.hello(probe, session=NEW), 0) == []
    assert update.reason == "another master brings it this version"
    (probe,) = update.seen("ready", {"version": "v2"}, 30)
    update.received(board.hello(probe, running=NEW), 30)
    assert update.state is UpdateState.CONFIRMED


@pytest.mark.parametrize("status", ["connected", "dead", "offline"])
def test_nothing_is_asked_of_who_is_not_ready(status: str) -> None:
    update = begun()
    assert update.seen(status, {"version": "v1"}, 0) == []
    assert update.state is UpdateState.WAITING


def test_of_a_board_without_slots_the_silence_is_explained() -> None:
    update = begun(patience_s=10)
    update.seen("ready", {"keepalive": 60}, 0)
    update.tick(11)
    assert update.state is UpdateState.FAILED
    assert "dcompute deploy" in update.reason


def test_statuses_do_not_make_a_master_talk_without_end() -> None:
    update = begun()
    probes = [probe for tenth in range(100) for probe in update.seen("ready", {"version": "v1"}, tenth / 10)]
    assert len(probes) == 10


def test_a_failure_of_long_ago_is_no_rollback_of_now(board: Speaker) -> None:
    update = begun()
    (probe,) = update.seen("ready", {"version": "v1"}, 0)
    (offer,) = update.received(board.hello(probe, failed=NEW), 0)
    states = [update.state]
    update.received(board.want(offer, 1, 0, "main.py"), 1)
    update.received(board.state(offer, 4), 2)
    (probe,) = update.seen("ready", {"version": "v1"}, 60)
    update.received(board.hello(probe, failed=NEW, trial=True), 60)
    states.append(update.state)
    (probe,) = update.seen("ready", {"version": "v1"}, 62)
    update.received(board.hello(probe, failed=NEW), 62)
    states.append(update.state)
    assert states == [UpdateState.OFFERED, UpdateState.SWITCHING, UpdateState.ROLLED_BACK]


def test_who_took_it_and_went_back_while_no_master_was_there_gets_it_no_more(board: Speaker) -> None:
    """Of an update that was begun anew: that a board took the version was written down."""
    for taken, state in ((True, UpdateState.ROLLED_BACK), (False, UpdateState.OFFERED)):
        update = NodeUpdate("n", BUNDLE, KEY, now_s=0, nonce=lambda: bytes(16), taken=taken)
        (probe,) = update.seen("ready", {"version": "v1"}, 0)
        offers = update.received(board.hello(probe, failed=NEW), 0)
        assert (update.state, len(offers)) == (state, not taken)


@pytest.mark.parametrize(
    ("codes", "reason"),
    [
        ((), "no answer to the offer (0 bytes of its heap were free): nothing for 300 s"),
        ((0,), "asks for nothing more (0 bytes of its heap were free): nothing for 300 s"),
        ((3,), "does not restart: nothing for 540 s"),
        ((4,), "not come back from its restart, or has no heap to say so"),
    ],
)
def test_silence_ends_it_with_a_reason(board: Speaker, codes: tuple[int, ...], reason: str) -> None:
    update, offer = started(board)
    for code in codes:
        update.received(board.state(offer, code) if code else board.want(offer, 1, 0, "main.py"), 0)
    probes = [probe for second in range(1, 700) for probe in update.tick(second)]
    assert update.state is UpdateState.FAILED
    assert reason in update.reason
    assert len(set(probes)) == len(probes)
    if not codes:
        assert len(probes) == 18  # every 15 s and a tick


@pytest.mark.parametrize(
    "payload",
    [b"", b"[]", b"DCU2", b"DCU2H", b"DCU2Q\x01n" + bytes(50), b"DCU2W\x01n" + bytes(50)],
)
def test_what_proves_nothing_is_rejected(payload: bytes) -> None:
    updates = Updates()
    updates.begin(begun())
    with pytest.raises(BadMessage):
        updates.received(payload, 0)


def test_what_another_node_says_is_passed_over() -> None:
    updates = Updates()
    updates.begin(begun())
    assert updates.received(b"DCU2H\x05other" + bytes(90), 0) == []


class _Deaf:
    def started(self, boot: int, reset_cause: int) -> None: ...
    def stopped(self, how: str) -> None: ...
    def output(self, line: str) -> None: ...
    def event(self, name: str, fields: dict[str, Any]) -> None: ...


async def _command(keys: Path, port: int, *arguments: str) -> tuple[int, str]:
    argv = [sys.executable, "-m", "dcompute", "update", "--broker", f"mqtt://127.0.0.1:{port}"]
    process = await asyncio.create_subprocess_exec(
        *argv,
        *arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={"DCOMPUTE_UPDATE_KEYS": str(keys), "PATH": ""},
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


def test_the_command_updates_boards_and_says_who_did_not_make_it(emulator: Emulator, tmp_path: Path) -> None:
    """Two boards and one whose key is another. Real time."""

    keys = UpdateKeys.create(tmp_path / "keys")

    async def go() -> None:
        broker = MosquittoBroker()
        await broker.start()
        boards = [
            FirmwareProcess(
                emulator,
                Board(
                    bytes(5) + bytes([number]),
                    [product()],
                    emulated_config("127.0.0.1", broker.port, NODE_ID=f"board-{number}"),
                    slots=True,
                    version="v1",
                    update_key=keys.enroll(f"board-{number}") if number < 3 else bytes(32),
                ),
                _Deaf(),
            )
            for number in (1, 2, 3)
        ]
        try:
            for board in boards:
                board.start()
            code, said = await _command(keys.path, broker.port, "--all", "--version", "v2")
            assert code == 0, said
            assert "board-1: confirmed, runs v2" in said
            assert "board-2: confirmed, runs v2" in said
            assert "2 of 2 run v2" in said
            keys.enroll("board-3")
            code, said = await _command(keys.path, broker.port, "--node", "board-3", "--patience", "1")
            assert code == 1, said
            assert "board-3: failed: it does not answer to its key" in said
            code, said = await _command(keys.path, broker.port, "--node", "board-1", "--version", "v2")
            assert code == 0, said
        finally:
            for board in boards:
                board.close()
            await broker.stop()

    asyncio.run(go())


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ((), "say which boards"),
        (("--all", "--node", "a"), "say which boards"),
        (("--all", "--bundle", "none"), "no such folder"),
        (("--node", "a/b"), "no key for a/b"),
        (("--all",), "no board in it"),
        (("--all", "--key-file", "none"), "No such file"),
    ],
)
def test_the_command_names_what_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], fault: str
) -> None:
    monkeypatch.setenv("DCOMPUTE_UPDATE_KEYS", str(UpdateKeys.create(tmp_path / "keys").path))
    result = CliRunner().invoke(app, ["update", *arguments])
    assert result.exit_code == 2, result.output
    assert fault in " ".join(result.output.replace("\u2502", " ").split())


def test_the_command_says_who_comes_when_and_goes_on_with_what_was_kept(tmp_path: Path) -> None:
    keys = UpdateKeys.create(tmp_path / "keys")
    for number in range(5):
        keys.enroll(f"board-{number}")
    state = tmp_path / "campaign.json"
    words = ["update", "--all", "--key-file", str(keys.path), "--state", str(state), "--dry-run"]

    def said(*more: str, status: int = 0) -> str:
        result = CliRunner().invoke(app, [*words, *more])
        assert result.exit_code == status, result.output
        return " ".join(result.output.replace("\u2502", " ").split())

    assert said("--canaries", "board-4", "--wave", "2") == (
        "wave 1: 1 board: board-4 wave 2: 2 boards: board-0, board-1 wave 3: 2 boards: board-2, board-3"
    )
    assert said() == "wave 1: 5 boards: board-0, board-1, board-2, board-3, board-4"
    one_then_two = "wave 1: 1 board: board-0 wave 2: 2 boards: board-1, board-2 wave 3: 2 boards: board-3"
    assert said("--wave", "2").startswith(one_then_two), "a canary unless another number is said"
    assert said("--wave", "2", "--canaries", "0").startswith("wave 1: 2 boards: board-0, board-1 wave 2: 2")
    for word in (("--abort", "5%"), ("--pause", "1"), ("--previous", str(product()))):
        assert said(*word).startswith("wave 1: 1 board: board-0 wave 2: 1 board: board-1"), word
    assert "canary board-9: not among the boards: board-0" in said("--canaries", "board-9", status=2)
    assert "'x': a share such as 10%, or a number" in said("--wave", "x", status=2)
    program = Bundle.from_folder(product(), "v2", release=9)
    plan = WavePlan(canaries=1, wave=3)
    digest = hashlib.sha256(program.manifest()).digest()[:16].hex()
    kept = Campaign("v2", 9, digest, waves_of(keys.boards(), plan), plan)
    for name in kept.begin(0):
        kept.ended(UpdateProgress(name, "v2", UpdateState.CONFIRMED, "", 0, 0, True))
    state.write_text(kept.to_json())
    assert said() == "wave 1: 0 boards: wave 2: 3 boards: board-1, board-2, board-3 wave 3: 1 board: board-4"
    assert "keeps a campaign with version v2, release 9" in said("--version", "v3", status=2)
    state.write_text("{")
    assert "it is no campaign that was written down" in said(status=2)


def test_the_command_says_that_there_is_no_broker(tmp_path: Path) -> None:
    keys = UpdateKeys.create(tmp_path / "keys")
    keys.enroll("board")
    where = ["--key-file", str(keys.path), "--broker", "mqtt://127.0.0.1:1"]
    result = CliRunner().invoke(app, ["update", "--all", *where])
    assert result.exit_code == 1
    assert "no connection to the broker at mqtt://127.0.0.1:1" in result.output
