"""`dcompute board check`: a board measured through port and link, and its record as a scenario's model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from dcompute_sim import trace as t
from dcompute_sim.commands import app
from dcompute_sim.hardware.board_errors import BoardError
from dcompute_sim.hardware.check_command import own_address
from dcompute_sim.hardware.survey import AtPrompt, record_of
from dcompute_sim.scenario import ScenarioError, load
from dcompute_sim.scenario.board_record import BoardRecord, Figures
from dcompute_sim.trace import read
from dcompute_sim.virtual_boards.cli import app as board
from typer.testing import CliRunner

from .conftest import OWN_CONFIG, ServeBoard, deploy

TASKS = 40

SCENARIO = """
version: 1
name: modelled
duration: 20s
network: {latency: 30ms}
fleet:
  esp: {kind: firmware, profile: board.json, keepalive: 4s}
workload: [{at: 10s, tasks: 5}]
expect: [all_tasks_finished]
"""


def test_a_board_is_measured_and_its_record_is_a_model(tmp_path: Path, serve_board: ServeBoard) -> None:
    root = tmp_path / "flash"
    deploy(root)
    port = serve_board(root)
    out = tmp_path / "board.json"
    result = CliRunner().invoke(board, ["check", port, "--out", str(out), "--tasks", str(TASKS)])
    assert result.exit_code == 0, result.output
    assert "MQTT round trip" in result.output
    record = BoardRecord.model_validate_json(out.read_bytes())
    assert record.micropython.startswith("1.")
    assert 300 <= record.wifi_join_ms.median < 5000  # the emulated WLAN takes 300 ms
    assert record.tasks == record.round_trip_ms.count == TASKS or record.round_trip_ms.count > TASKS
    assert record.tasks_per_s > 1
    assert 0 < record.heap_free_after_bytes <= record.heap_bytes
    assert 0 <= record.will_after_reset_s < 1.5 * record.keepalive_s + 20
    assert (root / "config.py").read_text() == OWN_CONFIG
    as_model(tmp_path, record)


def as_model(tmp_path: Path, record: BoardRecord) -> None:
    """A scenario with that record: joins, latency and heap are the board's."""
    slow = record.model_copy(
        update={
            "wifi_join_ms": Figures.of([4200]),
            "round_trip_ms": Figures.of([100]),
            "heap_bytes": 128 * 1024,
            "loop_us": 5.0,
        }
    )
    (tmp_path / "board.json").write_text(slow.model_dump_json())
    (tmp_path / "modelled.yaml").write_text(SCENARIO)
    trace = tmp_path / "t.jsonl"
    words = ["run", str(tmp_path / "modelled.yaml"), "-q", "--trace", str(trace)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    opened = next(e for e in read(trace).events if isinstance(e, t.WireOpened) and e.node == "esp-1")
    # 2.1 s to boot and to import the firmware, 4.2 s to join, 50 ms to the broker and back
    assert 6.3 < opened.t_s < 6.7
    scenario = load(tmp_path / "modelled.yaml")
    assert scenario.network_of("esp").latency == 0.05
    near = load(tmp_path / "modelled.yaml", ["fleet.esp.network.latency=7ms"])
    assert near.network_of("esp").latency == 0.007  # what the group says has precedence


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read"),
        ("{}", "not a record of a board: machine"),
        ("no json", "not a record of a board"),
    ],
)
def test_a_wrong_record_is_named_with_its_place(tmp_path: Path, text: str | None, words: str) -> None:
    (tmp_path / "s.yaml").write_text(SCENARIO)
    if text is not None:
        (tmp_path / "board.json").write_text(text)
    with pytest.raises(ScenarioError, match=words) as error:
        load(tmp_path / "s.yaml")
    assert "s.yaml:7:34" in str(error.value)


PROMPT = AtPrompt("a board", "1.25.0", 100_000, 1_000_000, 5.0, [900, 1000, 1100])


def story(*, results: int = 3, died: bool = True, printed: bool = True) -> list[t.Event]:
    """What a survey's trace holds, times in seconds made microseconds."""
    events: list[tuple[float, type[t.Event], dict[str, Any]]] = [
        (0.0, t.NodeStarted, {"node": "board-1", "boot": 1}),
        (3.5, t.NodeStatusSeen, {"node": "board-1", "status": "ready", "inc": "a.1"}),
        (4.0, t.NodeOutput, {"node": "board-1", "text": "memory 50000 50000"}),
    ]
    for n in range(results):
        fields = {"node": "board-1", "task": str(n), "digest": ""}
        events.append((5.0 + n / 4, t.ResultReceived, fields))
    if printed:
        events.append((8.0, t.NodeOutput, {"node": "board-1", "text": "memory 48000 52000"}))
    events.append((9.0, t.FaultInjected, {"fault": "reboot-1", "kind": "reboot", "node": "board-1"}))
    if died:
        events.append((15.2, t.DeathReported, {"node": "board-1", "inc": "a.1", "cause": "will"}))
    return [make(t_us=round(at * 1e6), **fields) for at, make, fields in events]


def test_the_record_is_what_the_trace_says() -> None:
    record = record_of(PROMPT, story(), [0.020, 0.030, 0.040], 3)
    assert record.ready_after_reset_s == 3.5
    assert record.tasks_per_s == 4.0
    assert record.will_after_reset_s == 6.2
    assert (record.heap_free_before_bytes, record.heap_free_after_bytes) == (50_000, 48_000)
    assert record.round_trip_ms == Figures(count=3, min=20, median=30, p90=40, max=40)
    assert record.network.latency == 0.015
    assert record.network.jitter == 0.005
    assert record.radio == {"scan_ms": 100, "join_ms": 800, "dhcp_ms": 100}
    assert json.loads(record.model_dump_json())["format"] == 1


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"results": 2}, "2 of 3 results"),
        ({"died": False}, "nobody published its will"),
        ({"printed": False}, "memory twice"),
    ],
)
def test_what_could_not_be_measured_is_said(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(BoardError, match=words):
        record_of(PROMPT, story(**changed), [0.02], 3)


def test_a_virtual_board_is_on_this_machine() -> None:
    assert own_address("/dev/pts/7") == own_address("socket://127.0.0.1:4000") == "127.0.0.1"
