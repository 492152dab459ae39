"""A run that is told to end, in whichever way, leaves nothing running and nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

LONG = """\
version: 1
name: long
duration: 500h
fleet: {esp: {kind: firmware, count: 2, keepalive: 20s}}
expect: [no_false_deaths]
"""
PATIENCE_S = 60.0


@pytest.mark.parametrize(
    ("number", "words"),
    [(signal.SIGHUP, ["--time", "virtual"]), (signal.SIGTERM, ["--seeds", "1..4", "--jobs", "2"])],
)
def test_a_closed_terminal_and_a_cancelled_job_end_it_as_ctrl_c_does(
    tmp_path: Path, number: signal.Signals, words: list[str]
) -> None:
    """Boards end, and their flash goes: by default it is kept in memory."""
    (tmp_path / "long.yaml").write_text(LONG)
    (flash := tmp_path / "flash").mkdir()
    command = [sys.executable, "-c", "from dcompute.cli import main; main()", "run", "long.yaml", *words]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=os.environ | {"TMPDIR": str(flash)}, stderr=subprocess.PIPE, text=True
    )
    try:
        began_s = time.monotonic()
        while len(list(flash.glob("dcompute-esp-*/flash"))) < 2 and time.monotonic() < began_s + PATIENCE_S:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        _, said = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    assert (process.returncode, said.splitlines()[-1]) == (130, "interrupted")
    assert not list(flash.iterdir())
