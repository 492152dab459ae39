"""The master's side of an update: the state machine, and `dcompute update` against boards over a broker."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dcompute_sim.brokers.mosquitto import MosquittoBroker
from dcompute_sim.fwbuild.files import product
from dcompute_sim.micropython.board import Board
from dcompute_sim.micropython.process import FirmwareProcess
from typer.testing import CliRunner

from dcompute._cli.update import read_key
from dcompute.bundle import Bundle
from dcompute.cli import app
from dcompute.protocol import Rejected, UpdateReport, decode_update_report
from dcompute.updates import NodeUpdate, UpdateState

BUNDLE = Bundle("v2", {"main.py": b"x" * 1200, "a.py": b""})


def started(patience_s: float = 300) -> NodeUpdate:
    update = NodeUpdate("n", BUNDLE, b"key", now_s=0, patience_s=patience_s)
    assert update.seen("ready", "boot.1", {"version": "v1"}, 0) != []
    return update


def said(**fields: Any) -> UpdateReport:
    return UpdateReport(**{"node_id": "n", "version": "v2", "inc": "boot.1"} | fields)


def test_an_offer_for_each_connection_and_the_pieces_asked_for() -> None:
    update = started()
    assert update.state is UpdateState.OFFERED
    (piece,) = update.reported(said(want="main.py", at=1024), 1)
    assert json.loads(piece) == {
        "version": "v2",
        "path": "main.py",
        "at": 1024,
        "data": "eHh4" * 58 + "eHg=",
        "end": True,
    }
    assert (update.state, update.sent_bytes) == (UpdateState.SENDING, 1024)
    (offer,) = update.seen("ready", "boot.2", {"version": "v1"}, 2)
    assert BUNDLE.verify(b"key", "boot.2", json.loads(offer)["sig"])
    assert update.reported(said(want="main.py", at=0), 3) == []  # of the connection before
    (empty,) = update.reported(said(inc="boot.2", want="a.py"), 3)
    assert json.loads(empty)["end"] is True


@pytest.mark.parametrize("status", ["connected", "dead", "offline"])
def test_nothing_is_offered_to_who_is_not_ready(status: str) -> None:
    update = NodeUpdate("n", BUNDLE, None, now_s=0)
    assert update.seen(status, "boot.1", {"version": "v1"}, 0) == []
    assert update.state is UpdateState.WAITING


def test_a_board_without_slots_is_told_what_to_do() -> None:
    update = NodeUpdate("n", BUNDLE, None, now_s=0)
    update.seen("ready", "boot.1", {"keepalive": 60}, 0)
    assert update.state is UpdateState.FAILED
    assert "dcompute deploy" in update.reason


def test_a_failure_of_long_ago_is_no_rollback_of_now() -> None:
    update = NodeUpdate("n", BUNDLE, b"key", now_s=0)
    before = {"version": "v1", "failed": "v2"}
    assert update.seen("ready", "boot.1", before, 0) != []
    states = [update.state]
    update.reported(said(want="main.py"), 1)
    update.reported(said(state="switching"), 2)
    update.seen("ready", "boot2.1", before, 60)
    states.append(update.state)
    assert states == [UpdateState.OFFERED, UpdateState.ROLLED_BACK]


@pytest.mark.parametrize(
    ("reports", "reason"),
    [
        ([], "does not answer the offer: nothing for 300 s"),
        ([{"want": "main.py"}], "asks for nothing more: nothing for 300 s"),
        ([{"state": "staged"}], "does not restart: nothing for 540 s"),
        ([{"state": "switching"}], "not come back from its restart: nothing for 540 s"),
    ],
)
def test_silence_ends_it_with_a_reason(reports: list[dict[str, Any]], reason: str) -> None:
    update = started()
    for report in reports:
        update.reported(said(**report), 0)
    offers = 0
    for second in range(1, 700):
        offers += len(update.tick(second))
    assert update.state is UpdateState.FAILED
    assert reason in update.reason
    if not reports:
        assert offers == 18  # every 15 s and a tick


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"{}",
        b'{"node_id": "a/b"}',
        b'{"node_id": "n", "want": 5}',
        b'{"node_id": "n", "at": -1}',
        b'{"node_id": "n", "at": true}',
        b'{"node_id": "n", "reason": {}}',
    ],
)
def test_what_is_no_report_is_rejected(payload: bytes) -> None:
    with pytest.raises(Rejected):
        decode_update_report(payload)


def test_the_key_is_read_without_the_newline_of_its_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("secret\n")
    assert read_key(file, "other") == b"secret"
    assert read_key(None, "other") == b"other"
    assert read_key(None, None) is None
    with pytest.raises(ValueError, match="empty"):
        read_key(None, "")


class _Deaf:
    def started(self, boot: int, reset_cause: int) -> None: ...
    def stopped(self, how: str) -> None: ...
    def output(self, line: str) -> None: ...
    def event(self, name: str, fields: dict[str, Any]) -> None: ...


async def _command(port: int, *arguments: str) -> tuple[int, str]:
    argv = [sys.executable, "-m", "dcompute", "update", "--port", str(port), "--broker", "127.0.0.1"]
    process = await asyncio.create_subprocess_exec(
        *argv,
        *arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={"DCOMPUTE_UPDATE_KEY": "fleet", "PATH": ""},
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


def test_the_command_updates_boards_and_says_who_did_not_make_it(emulator: Any, tmp_path: Path) -> None:
    """Two boards and one whose key is another; then a version that is broken. Real time."""

    async def go() -> None:
        broker = MosquittoBroker()
        await broker.start()
        boards = [
            FirmwareProcess(
                emulator,
                Board(
                    bytes(5) + bytes([number]),
                    [product()],
                    {
                        "WIFI_SSID": "testbed",
                        "WIFI_PASSWORD": "password1",
                        "MQTT_HOST": "127.0.0.1",
                        "MQTT_PORT": broker.port,
                        "MQTT_USER": None,
                        "MQTT_PASSWORD": None,
                        "MQTT_TLS": False,
                        "NODE_TYPE": "ESP32",
                        "NODE_ID": f"board-{number}",
                        "UPDATE_KEY": "fleet" if number < 3 else "another",
                    },
                    slots=True,
                    version="v1",
                ),
                _Deaf(),
            )
            for number in (1, 2, 3)
        ]
        try:
            for board in boards:
                board.start()
            code, said = await _command(broker.port, "--all", "--version", "v2")
            assert code == 1, said
            assert "board-1: confirmed, runs v2" in said
            assert "board-2: confirmed, runs v2" in said
            assert "board-3: refused: the signature is not that" in said
            assert "2 of 3 run v2" in said
            code, said = await _command(broker.port, "--node", "board-1", "--version", "v2")
            assert code == 0, said
            broken = tmp_path / "broken"
            broken.mkdir()
            (broken / "main.py").write_text("raise RuntimeError('broken')\n")
            code, said = await _command(broker.port, "--node", "board-1", "--bundle", str(broken))
            assert code == 1, said
            assert "board-1: rolled back: the new version did not get ready; v2 runs again" in said
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
        (("--node", "a/b"), "only A-Z"),
        (("--all", "--key-file", "none"), "No such file"),
    ],
)
def test_the_command_names_what_cannot_be_read(arguments: tuple[str, ...], fault: str) -> None:
    result = CliRunner().invoke(app, ["update", *arguments])
    assert result.exit_code == 2, result.output
    assert fault in " ".join(result.output.replace("\u2502", " ").split())


def test_the_command_says_that_there_is_no_broker() -> None:
    result = CliRunner().invoke(app, ["update", "--all", "--broker", "127.0.0.1", "--port", "1"])
    assert result.exit_code == 1
    assert "no connection to the broker at 127.0.0.1:1" in result.output
