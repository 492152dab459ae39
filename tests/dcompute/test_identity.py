"""Node ids for programs that name none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dcompute._node.identity import default_node_id
from dcompute.node_core import check_node_id

PROGRAM = "from dcompute._node.identity import default_node_id as new; print(new(), flush=True); input()"


def start(folder: Path) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "TMPDIR": str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_processes_have_different_ids_and_a_freed_one_is_taken_again(tmp_path: Path) -> None:
    first, second = start(tmp_path), start(tmp_path)
    try:
        assert first[1] != second[1]
        first[0].kill()  # however it ends
        first[0].wait(10)
        third = start(tmp_path)
        third[0].communicate("\n", timeout=10)
        assert third[1] == first[1]
    finally:
        for process, _ in (first, second):
            process.kill()
            process.communicate()


@pytest.mark.parametrize("host", ["plain", "a b/c#+é", "x" * 200, ""])
def test_any_host_name_gives_a_valid_id(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, host: str) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: host)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    one, two = default_node_id(), default_node_id()
    assert check_node_id(one) != check_node_id(two)
