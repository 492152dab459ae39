"""The wire vectors: node_core says what they expect, under CPython and under MicroPython alike."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sim.micropython.provision import Emulator

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FILES = sorted((HERE / "vectors").glob("*.json"))


def outcome(command: list[str], environment: dict[str, str], file: Path) -> list[Any]:
    done = subprocess.run(
        [*command, str(HERE / "run_vectors.py"), str(file)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=30,
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


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_both_pythons_do_as_the_vectors_say(file: Path, emulator: Emulator) -> None:
    vectors = json.loads(file.read_text())
    here = outcome([sys.executable], {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}, file)
    there = outcome(list(emulator.argv), {"MICROPYPATH": f"{ROOT}:.frozen"}, file)
    for vector, ours, theirs in zip(vectors, here, there, strict=True):
        assert ours == expected(vector, ours), vector["name"]
        assert theirs == ours, vector["name"]


def test_there_are_vectors_of_both_kinds() -> None:
    kinds = {"steps" in vector for file in FILES for vector in json.loads(file.read_text())}
    assert kinds == {True, False}
