"""`dcompute emulator`: set-up, status, and running a program on a board."""

from __future__ import annotations

from pathlib import Path

import pytest
from dcompute_sim.micropython import provision
from dcompute_sim.micropython.cli import app
from typer.testing import CliRunner

runner = CliRunner()


def test_setup_and_status_name_what_is_there() -> None:
    done = runner.invoke(app, ["setup"])
    assert done.exit_code == 0, done.output
    assert "MicroPython 1." in done.output
    assert "mpy-cross in" in done.output
    seen = runner.invoke(app, ["status"])
    assert seen.exit_code == 0
    assert "umqtt.simple:" in seen.output


def test_a_machine_that_lacks_something_exits_with_3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(provision.MICROPYTHON_VARIABLE, str(tmp_path / "absent"))
    for command in (["setup"], ["status"], ["run", str(tmp_path)]):
        done = runner.invoke(app, command)
        assert done.exit_code == 3
        assert "absent" in done.output


@pytest.mark.parametrize(
    ("program", "status", "said"),
    [
        ("import machine\nprint(machine.unique_id().hex())", 0, "0a0b0c0d0e0f"),
        ("raise ValueError('boo')", 1, "ValueError: boo"),
    ],
)
def test_run_shows_the_output_and_how_it_ended(tmp_path: Path, program: str, status: int, said: str) -> None:
    (tmp_path / "hello.py").write_text(program)
    done = runner.invoke(app, ["run", str(tmp_path / "hello.py"), "--mac", "0a:0b:0c:0d:0e:0f"])
    assert done.exit_code == status, done.output
    assert said in done.output


def test_run_refuses_what_is_no_firmware(tmp_path: Path) -> None:
    done = runner.invoke(app, ["run", str(tmp_path / "nowhere.py")])
    assert done.exit_code == 2
    assert "nowhere.py" in done.output
