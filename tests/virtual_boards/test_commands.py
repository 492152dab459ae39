"""`dcompute board` as a process, from its start to Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from dcompute_sim.virtual_boards.cli import app, parse_mac, parse_size
from typer.testing import CliRunner, Result

from ..conftest import PATIENCE_S


@contextmanager
def served(folder: Path, *options: str) -> Iterator[str]:
    """The address of a board served by a process of its own, which must end cleanly at Ctrl-C."""
    port_file = folder / "port"
    command = [sys.executable, "-c", "from dcompute.cli import main; main()", "board"]
    argv = [*command, "--port-file", str(port_file)]
    process = subprocess.Popen([*argv, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not port_file.exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "no port file"
            time.sleep(0.01)
        yield port_file.read_text().strip()
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, said
        assert not port_file.exists()
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def mpremote(address: str, expression: str) -> list[str]:
    return [sys.executable, "-m", "mpremote", "connect", address, "eval", expression]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.01)


def evaluate(address: str, expression: str) -> str:
    argv = mpremote(address, expression)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    return done.stdout.strip()


def test_a_board_on_a_pseudo_terminal_with_its_own_folder(tmp_path: Path) -> None:
    root = tmp_path / "flash"
    with served(tmp_path, "--root", str(root), "--flash-size", "512KiB") as address:
        assert address.startswith(f"{os.sep}dev{os.sep}")
        assert (
            evaluate(address, "open('kept', 'w').write('x') * __import__('os').statvfs('/')[2] * 4") == "512"
        )
    assert (root / "kept").read_text() == "x"  # a folder that was given outlives the board


def test_a_board_on_a_tcp_port(tmp_path: Path) -> None:
    with served(tmp_path, "--tcp", "0") as address:
        assert address.startswith("socket://127.0.0.1:")
        assert evaluate(address, "1+1") == "2"


def test_several_boards_each_with_its_own_port_id_and_folder(tmp_path: Path) -> None:
    root = tmp_path / "flashes"
    with served(tmp_path, "--count", "3", "--root", str(root), "--mac", "02:00:00:00:00:ff") as addresses:
        ports = addresses.splitlines()
        assert len(set(ports)) == 3
        ask = "open('kept', 'w').write('x') and __import__('machine').unique_id().hex()"
        assert [evaluate(port, ask) for port in ports[:2]] == ["0200000000ff", "020000000100"]
    assert sorted(str(kept.relative_to(root)) for kept in root.rglob("*") if kept.is_file()) == [
        "0200000000ff/kept",
        "020000000100/kept",
    ]


def test_another_command_has_its_hands_on_the_boards(tmp_path: Path) -> None:
    ports, root = tmp_path / "port", tmp_path / "flashes"
    with served(tmp_path, "--count", "2", "--root", str(root)) as addresses:
        second = addresses.splitlines()[1]
        assert hands("power-fails", f"{ports}:2", "--after", "3").exit_code == 0
        torn = root / "020000000002" / "torn"
        writing = subprocess.Popen(mpremote(second, "open('torn', 'w').write('1234')"))
        wait_until(lambda: torn.exists() and torn.read_text() == "12")
        writing.kill()  # it waits for a board without power
        writing.wait()
        assert hands("power-on", f"{ports}:2").exit_code == 0
        assert evaluate(second, "open('torn').read()") == "12"

        assert hands("unplug", str(ports)).exit_code == 0
        assert hands("plug-in", str(ports)).exit_code == 0
        assert ports.read_text().count(f"{os.sep}dev{os.sep}") == 2
        for action in ("reset", "power-off", "power-on", "wifi-off", "wifi-on"):
            assert hands(action, f"{ports}:1").exit_code == 0, action
        assert evaluate(ports.read_text().split()[0], "1+1") == "2"

        assert "1 to 2" in hands("reset", f"{ports}:3").output
        assert "--broker" in hands("link-down", f"{ports}:1").output
    assert "serves" in hands("reset", str(ports)).output


def hands(*words: str) -> Result:
    return CliRunner().invoke(app, ["do", *words])


def test_an_action_that_does_not_fit_is_a_usage_error() -> None:
    for words in (["power-fails", "port"], ["reset", "port", "--after", "1"], ["dance", "port"]):
        assert hands(*words).exit_code == 2


@pytest.mark.parametrize(
    "options",
    [
        ["--flash-size", "2MB"],
        ["--broker", "nowhere"],
        ["--mac", "02:00"],
        ["--mac", "xyz"],
        ["--tcp", "65535", "--count", "2"],
    ],
)
def test_wrong_options_are_named(options: list[str]) -> None:
    result = CliRunner().invoke(app, options)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert result.output.strip()


def test_sizes_and_addresses() -> None:
    assert [parse_size(text) for text in ("2MiB", "512KiB", "4096")] == [2097152, 524288, 4096]
    assert [mac.hex() for mac in parse_mac("ff:ff:ff:ff:ff:ff", 2)] == ["f" * 12, "0" * 12]
