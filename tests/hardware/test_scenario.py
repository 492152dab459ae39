"""Scenarios on boards: through real serial ports, mpremote's transport, and each board's link."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest
from dcompute_sim import trace as t
from dcompute_sim.commands import app
from dcompute_sim.fwbuild.firmware_files import product
from dcompute_sim.micropython import flash
from dcompute_sim.report.fault_outcome import fault_outcomes
from dcompute_sim.scenario.own_config import MARK
from dcompute_sim.trace import read
from dcompute_sim.virtual_boards.virtual_board import own
from typer.testing import CliRunner

from ..conftest import unhurried
from .conftest import OWN_CONFIG, ServeBoard, deploy

STORM = """
version: 1
name: storm
time: real
phases: {start: 1s, storm: 9s, quiet: 4s}
fleet: {esp: {kind: board, count: 3, keepalive: 2s, poll: 50ms, timing: none}}  # as virtual boards
workload:
  - {phase: storm, tasks: 40, rate: 6/s, payload: 60B}
faults:
  - {kind: crash, phase: storm, at: 1s, restart_after: 2s, select: {names: [esp-1]}}
  - {kind: reboot, phase: storm, at: 1s, select: {names: [esp-2]}}
  - {kind: power_cut, phase: storm, at: 1s, restart_after: 5s, select: {names: [esp-3]}}
  - {kind: hang, phase: storm, at: 5s, for: 4s, select: {names: [esp-1]}}
  - {kind: wifi_drop, phase: storm, at: 5s, for: 4s, select: {names: [esp-2]}}
  - {kind: reset, phase: storm, at: 8s, select: {names: [esp-3]}}
expect:
  - no_lost_tasks
  - all_tasks_finished
  - dead_within: {bound: 5s}
  - no_false_deaths
  - callback_once
  - final_status
  - retained_consistent
"""


def test_every_fault_of_three_virtual_boards_holds_as_in_the_simulation(tmp_path: Path) -> None:
    trace = tmp_path / "t.jsonl"
    (tmp_path / "boards.yaml").write_text("version: 1\nboards: {esp: {virtual: true}}\n")

    def play(storm: str) -> None:
        (tmp_path / "storm.yaml").write_text(storm)
        trace.unlink(missing_ok=True)
        words = ["run", str(tmp_path / "storm.yaml"), "--plain", "--trace", str(trace)]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.output
        as_it_is_to_be(tmp_path, trace)

    unhurried(STORM, play, lambda: read(trace).events)


def as_it_is_to_be(folder: Path, trace: Path) -> None:
    happened = read(trace).events
    kinds = {e.kind for e in happened if isinstance(e, t.NodeDefined)}
    assert kinds == {"board"}
    boots = [e.node for e in happened if isinstance(e, t.NodeStarted)]
    assert sorted(boots) == ["esp-1"] * 2 + ["esp-2"] * 2 + ["esp-3"] * 2
    printed = [e.text for e in happened if isinstance(e, t.NodeOutput) and e.node == "esp-2"]
    assert any("rst:0xc" in line for line in printed)
    assert any("not joined" in line or "resetting the interface" in line for line in printed), printed
    ends = {(e.node, e.how) for e in happened if isinstance(e, t.WireClosed)}
    assert {("esp-1", "fin"), ("esp-2", "lost"), ("esp-3", "lost"), ("esp-3", "rst")} <= ends
    beside(folder, trace)


def beside(tmp_path: Path, of_boards: Path) -> None:
    """The same scenario simulated, and `compare` of both traces."""
    of_sim = tmp_path / "sim.jsonl"
    words = ["run", str(tmp_path / "storm.yaml"), "--target", "sim", "-q", "--trace", str(of_sim)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    result = CliRunner().invoke(app, ["compare", str(of_sim), str(of_boards), "--plain"])
    assert result.exit_code == 0, result.output
    assert "the verdicts agree" in result.output
    lines = [line.split() for line in result.output.splitlines()]
    for kind, node in (("crash", "esp-1"), ("power_cut", "esp-3"), ("reset", "esp-3")):
        assert [kind, "1", "sim", node] in [line[:4] for line in lines], result.output
    simulated, on_boards = fault_outcomes(read(of_sim).events), fault_outcomes(read(of_boards).events)
    assert simulated.keys() == on_boards.keys()
    for key in (("crash", 1), ("power_cut", 1)):
        assert simulated[key].order == on_boards[key].order == WHOLE[key], key
    for side in (simulated, on_boards):  # FIN: at once; silence: 1.5 x keepalive
        assert (side["crash", 1].dead_after_s or 9) < 2 < (side["power_cut", 1].dead_after_s or 0)


WHOLE = {
    ("crash", 1): ("lost", "dead", "healed", "back", "ready"),
    ("power_cut", 1): ("lost", "dead", "healed", "back", "ready"),
}


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a.jsonl"], "two traces are compared, not 1"),
        (["a.jsonl", "b.jsonl"], "no such file"),
        (["quickstart", "esp32"], "one scenario, or two traces"),
    ],
)
def test_what_cannot_be_compared_is_said(names: list[str], words: str) -> None:
    result = CliRunner().invoke(app, ["compare", *names])
    assert result.exit_code == 2
    assert words in result.output


SHORT = """
version: 1
name: short
duration: 4s
fleet: {esp: {kind: firmware, keepalive: 2s, poll: 50ms}}
workload: [{at: 1s, tasks: 10, rate: 10/s}]
faults: [{kind: reset, at: 2s}]
expect: [all_tasks_finished, final_status]
"""


def test_a_boards_own_config_is_back_after_the_run(tmp_path: Path, serve_board: ServeBoard) -> None:
    root, trace = tmp_path / "flash", tmp_path / "t.jsonl"
    deploy(root)
    port = serve_board(root)
    (tmp_path / "lab.yaml").write_text(f"version: 1\nhost: 127.0.0.1\nboards: {{esp-1: {{port: {port}}}}}\n")
    words = ["run", str(tmp_path / "short.yaml"), "--target", "board", "--boards", str(tmp_path / "lab.yaml")]

    def play(short: str) -> None:
        (root / "config.py").write_bytes(
            OWN_CONFIG.encode() + MARK.encode() + b"MQTT_PORT = 5\n"
        )  # of a run that was killed
        (tmp_path / "short.yaml").write_text(short)
        trace.unlink(missing_ok=True)
        result = CliRunner().invoke(app, [*words, "--plain", "--trace", str(trace)])
        assert result.exit_code == 0, result.output
        assert "--target board" in result.output  # in the command that repeats it
        assert (root / "config.py").read_text() == OWN_CONFIG
        assert not (root / "config.py.new").exists()

    unhurried(SHORT, play, lambda: read(trace).events)


def test_a_board_without_our_firmware_is_named(tmp_path: Path, serve_board: ServeBoard) -> None:
    port = serve_board(tmp_path / "empty")
    (tmp_path / "short.yaml").write_text(SHORT)
    (tmp_path / "lab.yaml").write_text(f"version: 1\nhost: 127.0.0.1\nboards: {{esp-1: {{port: {port}}}}}\n")
    words = ["run", str(tmp_path / "short.yaml"), "--target", "board", "--boards", str(tmp_path / "lab.yaml")]
    result = CliRunner().invoke(app, [*words, "--plain", "--trace", str(tmp_path / "t.jsonl")])
    assert result.exit_code == 2, result.output
    assert f"esp-1 at {port}: no config.py on it" in result.output
    deploy(tmp_path / "empty")
    (tmp_path / "short.yaml").write_text(SHORT.replace("kind: firmware", "kind: firmware, layout: slots"))
    result = CliRunner().invoke(app, [*words, "--plain", "--trace", str(tmp_path / "t.jsonl")])
    assert result.exit_code == 2, result.output
    assert f"esp-1 at {port}: its firmware is not in slots" in result.output
    (tmp_path / "empty" / "debug_hooks.py").unlink()
    (tmp_path / "short.yaml").write_text(SHORT.replace("kind: reset", "kind: hang"))
    result = CliRunner().invoke(app, [*words, "--plain", "--trace", str(tmp_path / "t.jsonl")])
    assert result.exit_code == 2, result.output
    assert "esp-1" in result.output
    assert "no debug_hooks, and the scenario lets it `hang`" in result.output
    assert (tmp_path / "empty" / "config.py").read_text() == OWN_CONFIG


AIR = """
version: 1
name: air
time: real
phases: {start: 13s, quiet: 2s}
fleet:
  real: {kind: board, layout: slots, keepalive: 2s, poll: 10ms}
  virtual: {kind: board, layout: slots, keepalive: 2s, poll: 10ms, heap: 160KiB}
updates: [{at: 1500ms, version: v2, select: {count: all}}]
faults:
  - kind: wifi_drop
    when: {event: update_state, node: real-1, where: {state: sending}, after: 200ms}
    select: {names: [real-1]}
    for: 1s
  - kind: power_cut
    when: {event: update_state, node: virtual-1, where: {state: sending}, after: 200ms}
    select: {names: [virtual-1]}
    restart_after: 500ms
expect:
  - no_false_deaths
  - final_status: {status: ready}
"""


def test_boards_are_updated_over_the_air_through_a_wifi_drop_and_a_power_cut(
    tmp_path: Path, serve_board: ServeBoard
) -> None:
    trace = tmp_path / "t.jsonl"
    plays = itertools.count(1)

    def play(air: str) -> None:
        root = tmp_path / f"flash-{next(plays)}"
        root.mkdir()
        flash.write_slots([product()], {}, root, "v1")
        own(root)
        (root / "a" / "config.py").write_text(OWN_CONFIG)
        (root / "update.key").write_bytes(b"the owner's")
        (tmp_path / "air.yaml").write_text(air)
        places = f"{{real-1: {{port: {serve_board(root)}}}, virtual: {{virtual: true}}}}"
        (tmp_path / "boards.yaml").write_text(f"version: 1\nhost: 127.0.0.1\nboards: {places}\n")
        trace.unlink(missing_ok=True)
        words = ["run", str(tmp_path / "air.yaml"), "--plain", "--trace", str(trace)]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.output
        as_updated(root, read(trace).events)

    unhurried(AIR, play, lambda: read(trace).events)


def as_updated(root: Path, happened: Sequence[t.Event]) -> None:
    for node, kind in (("real-1", "wifi_drop"), ("virtual-1", "power_cut")):
        (hit,) = [e.t_us for e in happened if isinstance(e, t.FaultInjected) and e.kind == kind]
        states = [e for e in happened if isinstance(e, t.UpdateState) and e.node == node]
        assert [e.state for e in states if e.t_us < hit][-1] == "sending", (node, states)
        assert "staged" in [e.state for e in states if e.t_us > hit], (node, states)
    ended = {e.node: e.version for e in happened if isinstance(e, t.FinalVersion)}
    assert ended.keys() == {"real-1", "virtual-1"}
    assert set(ended.values()) <= {"v1", "v2"}
    assert (root / "slot").read_text().split()[0] == {"v1": "a", "v2": "b"}[ended["real-1"]]
    for slot in "ab":
        assert (root / slot / "config.py").read_text() == OWN_CONFIG
    assert (root / "update.key").read_bytes() == b"the owner's"
    assert not (root / "update.key.own").exists()
