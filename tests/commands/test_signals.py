"""A run that is told to end, in whichever way, leaves nothing running and nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from dcompute_sim.micropython.flash_folder import new_folder, remove_folder

from ..conftest import PATIENCE_S

LONG = """\
version: 1
name: long
duration: 500h
fleet: {esp: {kind: firmware, count: 2, keepalive: 20s, files: program}}
expect: [no_false_deaths]
"""
# All of its turns are a thread's: where the error of a socket ends that one, the main thread waits for ever.
PROGRAM = """\
import _thread, time

def work():
    open("begun", "w").close()
    while True:
        time.sleep_ms(10)

_thread.start_new_thread(work, ())
lock = _thread.allocate_lock()
lock.acquire()
lock.acquire()
"""
# Under `nohup` a closed terminal is ignored, and that is handed down: here it is not.
RUN = "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL); from dcompute.cli import main; main()"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGHUP, ["--time", "virtual"]),
        (signal.SIGTERM, ["--seeds", "1..4", "--jobs", "2"]),
        (signal.SIGKILL, ["--time", "virtual"]),
    ],
)
def test_a_closed_terminal_and_a_cancelled_job_end_it_as_ctrl_c_does(
    tmp_path: Path, number: signal.Signals, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Boards end, and their flash goes: by default it is kept in memory. Killed, a run cannot clear away, and
    its boards end by themselves even so, what they had said unread (that breaks a socket with ECONNRESET);
    the next run clears away after it, and takes nothing from one that lives."""
    (tmp_path / "long.yaml").write_text(LONG)
    (tmp_path / "program").mkdir()
    (tmp_path / "program" / "main.py").write_text(PROGRAM)
    (flash := tmp_path / "flash").mkdir()
    command = [sys.executable, "-c", RUN, "run", "long.yaml", *words]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=os.environ | {"TMPDIR": str(flash)}, stderr=subprocess.PIPE, text=True
    )
    try:
        _wait(lambda: len(list(flash.glob("dcompute-flash-*/esp-*/flash/begun"))) >= 2)
        if number == signal.SIGKILL:
            process.send_signal(signal.SIGSTOP)  # what the boards say until they wait for it is not read
            _wait(lambda: all(_state(pid) == "S" for pid in _boards(flash)))
        monkeypatch.setenv("TMPDIR", str(flash))
        monkeypatch.setattr(tempfile, "tempdir", str(flash))
        remove_folder(new_folder("beside"))
        assert len(list(flash.glob("dcompute-flash-*/esp-*/flash/begun"))) >= 2
        process.send_signal(number)
        _, said = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    if number != signal.SIGKILL:
        assert (process.returncode, said.splitlines()[-1]) == (130, "interrupted")
        assert not list(flash.iterdir())
    _wait(lambda: not _boards(flash))
    remove_folder(new_folder("next"))
    assert not list(flash.iterdir())


def _wait(condition: Callable[[], bool]) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.01)


def _boards(flash: Path) -> list[Path]:
    """In /proc."""
    return [process for process in Path("/proc").glob("[0-9]*") if flash in _cwd(process).parents]


def _cwd(process: Path) -> Path:
    try:
        return (process / "cwd").readlink()
    except OSError:
        return Path("/")


def _state(process: Path) -> str:
    return (process / "stat").read_text().rpartition(") ")[2][0]


INTERRUPTED_WHILE_LOADING = """\
import os, signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == MODULE:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
from dcompute.cli import main
sys.argv = ["dcompute", "run", "quickstart"]
main()
"""


@pytest.mark.parametrize("module", ["typer", "dcompute_sim.commands.run_command"])
def test_ctrl_c_while_the_command_is_being_loaded_just_ends_it(module: str) -> None:
    code = INTERRUPTED_WHILE_LOADING.replace("MODULE", repr(module))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=PATIENCE_S)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, b"", b"")
