"""The hardware map: what it says, what is wrong with it and where, what boards cannot do."""

from __future__ import annotations

from pathlib import Path

import pytest
from dcompute_sim.commands import app
from dcompute_sim.hardware.hardware_map import load_map
from dcompute_sim.scenario import ScenarioError
from typer.testing import CliRunner

NODES = {"esp-1": "esp", "esp-2": "esp", "lab-1": "lab"}
HEAD = "version: 1\nhost: 192.168.1.10\nboards:\n"


def read(tmp_path: Path, text: str) -> dict[str, tuple[str | None, str]]:
    path = tmp_path / "boards.yaml"
    path.write_text(text)
    return {name: (place.port, place.host) for name, place in load_map(path, NODES).items()}


def test_a_place_for_each_node(tmp_path: Path) -> None:
    text = "  esp: {ports: [/dev/ttyUSB0, /dev/ttyUSB1]}\n  lab: {virtual: true}\n  spare: {port: COM4}\n"
    assert read(tmp_path, HEAD + text) == {
        "esp-1": ("/dev/ttyUSB0", "192.168.1.10"),
        "esp-2": ("/dev/ttyUSB1", "192.168.1.10"),
        "lab-1": (None, "127.0.0.1"),
    }


def test_a_node_has_precedence_over_its_group(tmp_path: Path) -> None:
    found = read(
        tmp_path, HEAD + "  esp: {virtual: true}\n  esp-2: {port: /dev/ttyS0}\n  lab: {virtual: true}"
    )
    assert [found[name][0] for name in ("esp-1", "esp-2")] == [None, "/dev/ttyS0"]


def test_a_port_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "ports").write_text("/dev/pts/7\n/dev/pts/8\n")
    (tmp_path / "third").write_text("/dev/pts/9\n")
    text = '  esp: {ports: ["ports:1", "ports:2"]}\n  lab: {port: third}\n'
    found = read(tmp_path, HEAD + text)
    assert [port for port, _ in found.values()] == ["/dev/pts/7", "/dev/pts/8", "/dev/pts/9"]
    with pytest.raises(ScenarioError, match="ports has 2 lines"):
        read(tmp_path, HEAD + '  esp: {virtual: true}\n  lab: {port: "ports:3"}\n')


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("version: 1\nboards: {esp: {virtal: true}}\n", ":2:16", "did you mean `virtual`"),
        ("version: 1\nboards: {esp: {}}\n", ":2:15", "`port`"),
        ("version: 1\nboards:\n  esp: {virtual: true}\n  lba: {virtual: true}\n", ":2:1", "node `lab-1`"),
        ("version: 1\nboards:\n  esp: {virtual: true}\n  lab: {port: p}\n", ":1:1", "`host` is missing"),
        (HEAD + "  esp: {port: a}\n  lab: {virtual: true}\n", ":4:15", "one port for all nodes"),
        (HEAD + "  esp: {ports: [a]}\n  lab: {virtual: true}\n", ":4:16", "none is left for `esp-2`"),
        (HEAD + "  esp: {ports: [a, b]}\n  lab-1: {port: b}\n", ":5:17", "of two nodes, `esp-2` and `lab-1`"),
        ("version: 2\nboards: {}\n", ":1:10", ""),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, text: str, place: str, words: str) -> None:
    with pytest.raises(ScenarioError) as error:
        read(tmp_path, text)
    assert f"boards.yaml{place}:" in str(error.value)
    assert words in str(error.value)


SCENARIO = """
version: 1
name: bench
duration: 10s
fleet: {esp: {kind: firmware, count: 2}, py: {count: 1}}
faults:
"""


def run(tmp_path: Path, faults: str, boards: str | None, *options: str) -> tuple[int, str]:
    (tmp_path / "bench.yaml").write_text(SCENARIO + faults)
    if boards is not None:
        (tmp_path / "boards.yaml").write_text(boards)
    words = ["run", str(tmp_path / "bench.yaml"), "--trace", str(tmp_path / "t.jsonl"), *options]
    result = CliRunner().invoke(app, words)
    return result.exit_code, result.output


REAL = "version: 1\nhost: 127.0.0.1\nboards: {esp: {ports: [/dev/nowhere1, /dev/nowhere2]}}\n"
VIRTUAL = "version: 1\nboards: {esp: {virtual: true}}\n"


@pytest.mark.parametrize(
    ("fault", "boards", "named"),
    [
        ("  - {kind: power_cut, at: 1s}\n", REAL, "power_cut cannot be done to the board esp-1"),
        ("  - {kind: power_cut, at: 1s, select: {names: [esp-2]}}\n", REAL, "to the board esp-2"),
        (
            "  - {kind: clone, at: 1s, select: {group: esp}}\n",
            VIRTUAL,
            "clone cannot be done to the board esp-1",
        ),
    ],
)
def test_an_unsupported_fault_ends_it_before_anything_starts(
    tmp_path: Path, fault: str, boards: str, named: str
) -> None:
    status, said = run(tmp_path, fault, boards, "--target", "board")
    assert status == 2, said
    assert named in " ".join(said.split())
    assert "faults[0]" in said
    assert not (tmp_path / "t.jsonl").exists()


def test_no_map_is_named(tmp_path: Path) -> None:
    status, said = run(tmp_path, "  []\n", None, "--target", "board")
    assert status == 2
    assert "esp-1" in said
    assert "--boards boards.yaml" in said


def test_faults_that_cannot_choose_a_board_are_no_matter(tmp_path: Path) -> None:
    faults = "  - {kind: power_cut, at: 1s, select: {group: py}}\n"
    status, said = run(tmp_path, faults, REAL, "--target", "board")
    assert status == 2
    assert "power_cut" not in said
    assert "there is no port /dev/nowhere1" in said  # it got as far as the boards, and both are named
    assert "there is no port /dev/nowhere2" in said


def test_target_and_time_are_one_question(tmp_path: Path) -> None:
    status, said = run(tmp_path, "  []\n", None, "--target", "sim", "--time", "real")
    assert status == 2
    assert "--time" in said
