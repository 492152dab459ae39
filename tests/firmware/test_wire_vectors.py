"""The wire vectors: node_core says what they expect, under CPython and under MicroPython alike."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dcompute_sim.fwbuild.merge import merge
from dcompute_sim.micropython.provision import Emulator

from dcompute.node_wire import MAX_PAYLOAD_BYTES

from ..conftest import PATIENCE_S

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FILES = sorted((HERE / "vectors").glob("*.json"))


def outcome(command: list[str], environment: dict[str, str], file: Path) -> list[Any]:
    done = subprocess.run(
        [*command, str(HERE / "run_vectors.py"), str(file)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: list[Any] = json.loads(done.stdout)
    return found


def expected(vector: dict[str, Any], got: Any) -> Any:
    """What the vector expects; a null among the steps' outcomes leaves that step open."""
    if "task" in vector:
        return vector["task"]
    if not isinstance(vector["expect"], list):
        return vector["expect"]
    return [there if here is None else here for here, there in zip(vector["expect"], got, strict=True)]


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """The shared files where a board has them: in a folder that is no package of CPython's."""
    (tmp_path / "dcompute").mkdir()
    for name in ("node_answers.py", "node_core.py", "node_names.py", "node_ring.py", "node_wire.py"):
        shutil.copy(ROOT / "dcompute" / name, tmp_path / "dcompute")
    return tmp_path


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_both_pythons_do_as_the_vectors_say(file: Path, emulator: Emulator, board: Path) -> None:
    vectors = json.loads(file.read_text())
    here = outcome([sys.executable], {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}, file)
    there = outcome(list(emulator.argv), {"MICROPYPATH": f"{board}:.frozen"}, file)
    for vector, ours, theirs in zip(vectors, here, there, strict=True):
        assert ours == expected(vector, ours), vector["name"]
        assert theirs == ours, vector["name"]


def test_the_core_as_it_is_compiled_does_too(tmp_path: Path, emulator: Emulator) -> None:
    """Merged with what it imports and made smaller; only its public names are left as they are."""
    names = ("node_wire", "node_names", "node_core", "node_answers", "node_ring")
    sources = {f"dcompute.{name}": (ROOT / "dcompute" / f"{name}.py").read_text() for name in names}
    public = {"NodeCore", "Rejected", "decode_task"}
    named = {"check_namespace", "check_node_id"}
    ring = {"dcompute.node_answers": {"Answers", "Entry"}, "dcompute.node_ring": {"Ring"}}
    merged = merge(sources, {"dcompute.node_names": named, "dcompute.node_core": public, **ring})
    folder = tmp_path / "dcompute"
    folder.mkdir()
    for name in ("node_names", "node_core", "node_answers", "node_ring"):
        (folder / f"{name}.py").write_text(merged[f"dcompute.{name}"])
    wire = f"from dcompute.node_core import decode_task\nMAX_PAYLOAD_BYTES = {MAX_PAYLOAD_BYTES}\n"
    (folder / "node_wire.py").write_text(wire)
    for file in FILES:
        found = outcome(list(emulator.argv), {"MICROPYPATH": f"{tmp_path}:.frozen"}, file)
        for vector, got in zip(json.loads(file.read_text()), found, strict=True):
            assert got == expected(vector, got), vector["name"]


def test_there_are_vectors_of_both_kinds() -> None:
    kinds = {"steps" in vector for file in FILES for vector in json.loads(file.read_text())}
    assert kinds == {True, False}
