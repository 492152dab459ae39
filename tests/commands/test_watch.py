"""`dcompute run --watch`: what a change is, and what happens at one."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from dcompute_sim.commands.rerun import stamps_of, wait_for_change, watch
from dcompute_sim.yamlfile.include import files_of

from ..conftest import PATIENCE_S

CALM = """\
version: 1
name: calm
duration: 5s
fleet: {py: {count: 2, keepalive: 2s}}
expect: [no_false_deaths]
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    (tmp_path / "site.yaml").write_text("include: net.yaml\n")
    (tmp_path / "net.yaml").write_text("network: {latency: 1ms}\n")
    path = tmp_path / "calm.yaml"
    path.write_text("include: site.yaml\n" + CALM)
    return path


def test_included_files_are_found_also_of_a_file_that_is_wrong(scenario: Path) -> None:
    names = ["calm.yaml", "site.yaml", "net.yaml"]
    assert [file.name for file in files_of(scenario)] == names
    (scenario.parent / "net.yaml").write_text("network: [")
    assert [file.name for file in files_of(scenario)] == names


def test_it_runs_again_at_every_change_until_interrupted(scenario: Path) -> None:
    runs: list[str] = []

    def run_once() -> None:
        runs.append((scenario.parent / "net.yaml").read_text())
        raise typer.Exit(len(runs))

    def say(text: str) -> None:  # said just before it waits
        assert text == "Watching 3 files; Ctrl-C ends."
        if len(runs) == 3:
            raise KeyboardInterrupt
        (scenario.parent / "net.yaml").write_text(f"network: {{latency: {10 ** len(runs)}ms}}\n")

    assert watch([str(scenario)], run_once, say) == 3
    assert [text.split()[-1] for text in runs] == ["1ms}", "10ms}", "100ms}"]


def test_a_change_during_the_run_is_not_missed(scenario: Path) -> None:
    runs: list[str] = []
    said: list[int] = []

    def run_once() -> None:
        runs.append(scenario.read_text())
        if len(runs) == 1:
            scenario.write_text(CALM + "seed: 2\n")

    def say(_text: str) -> None:
        said.append(len(runs))
        raise KeyboardInterrupt

    assert watch([str(scenario)], run_once, say) == 0
    assert len(runs) == 2
    assert said == [2]


def test_an_interrupted_run_ends_it(scenario: Path) -> None:
    def run_once() -> None:
        raise typer.Exit(130)

    assert watch([str(scenario)], run_once, pytest.fail) == 130


def test_waiting_ends_with_a_new_file_in_a_folder(scenario: Path) -> None:
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 2:
            (scenario.parent / "new.yaml").write_text(CALM)

    before = stamps_of([str(scenario.parent)])
    after = wait_for_change([str(scenario.parent)], before, sleep)
    assert len(looks) == 2
    assert {path.name for path in after} - {path.name for path in before} == {"new.yaml"}


def test_a_file_that_is_gone_is_a_change(scenario: Path) -> None:
    def never(seconds: float) -> None:
        pytest.fail(f"slept {seconds} s")

    before = stamps_of([str(scenario)])
    (scenario.parent / "net.yaml").unlink()
    assert len(wait_for_change([str(scenario)], before, never)) == 2


def test_the_command_runs_again_and_ends_with_the_last_status(scenario: Path) -> None:
    words = ["run", str(scenario), "--watch", "-q", "--time", "virtual"]
    command = [sys.executable, "-c", "from dcompute.cli import main; main()", *words]
    process = subprocess.Popen(command, cwd=scenario.parent, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        first = [process.stdout.readline(), process.stdout.readline()]
        scenario.write_text(CALM.replace("count: 2", "count: 3").replace("no_false_deaths", "callback_once"))
        second = process.stdout.readline()
        while not (line := process.stdout.readline()).startswith("Watching"):
            assert line
        process.send_signal(signal.SIGINT)
        status = process.wait(PATIENCE_S)
    finally:
        process.kill()
        process.stdout.close()
    assert "held, 2 nodes" in first[0]
    assert first[1] == "Watching 3 files; Ctrl-C ends.\n"
    assert "undecided, 3 nodes" in second
    assert status == 2
