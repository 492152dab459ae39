"""`dcompute new`, `list`, `--no-trace`, NO_COLOR; and no traceback for a user's slip."""

from __future__ import annotations

from pathlib import Path

import pytest
from dcompute_sim.checks import CHECKS
from dcompute_sim.commands import app
from dcompute_sim.faults import KINDS
from dcompute_sim.mutants.catalogue import MUTANTS
from dcompute_sim.scenario import load, shipped
from dcompute_sim.scenario.schema import SCHEMA_FILE
from dcompute_sim.terminal import make_console
from typer.testing import CliRunner, Result


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_new_takes_a_path_and_puts_the_schema_beside() -> None:
    assert run("new", "plant/pumps/night.yaml").exit_code == 0
    assert load("plant/pumps/night.yaml").name == "night"
    assert Path("plant/pumps", SCHEMA_FILE).is_file()
    assert run("new", "copy", "--from", "stale_will").exit_code == 0
    assert load("copy.yaml").name == "copy"
    assert load("copy.yaml").faults == load(shipped()["stale_will"]).faults


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("new", "x y"), "not a name for a scenario"),
        (("new", "copy", "--from", "no_such"), "nor a scenario of that name"),
        (("new", "file/inside"), "file"),
        (("run", "quickstart", "--trace", "file/t.jsonl", "--time", "virtual"), "file"),
        (("run", "quickstart", "--trace", "t.jsonl", "--no-trace"), "contradict each other"),
        (("shrink", "no_such.jsonl"), "no_such.jsonl"),
    ],
)
def test_a_users_slip_is_told_without_a_traceback(arguments: tuple[str, ...], message: str) -> None:
    Path("file").write_text("")
    found = run(*arguments)
    assert found.exit_code in (2, 3)
    assert found.exception is None or isinstance(found.exception, SystemExit)
    assert message in found.output


def test_list_names_everything() -> None:
    everything = run("list").output
    for name in (*shipped(), *KINDS, *CHECKS, *MUTANTS):
        assert any(line.split()[:1] == [name] for line in everything.splitlines()), name
    assert "${" not in everything  # a description may be of variables
    faults = run("list", "faults").output.splitlines()
    assert len(faults) == len(KINDS)
    assert all(len(line.split()) > 3 for line in faults)


def test_no_trace_is_kept_when_none_is_wanted() -> None:
    found = run("run", "stale_will", "--no-trace", "-q")
    assert found.exit_code == 0, found.output
    assert not Path("runs").exists()


def test_no_color_is_no_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    console = make_console()
    with console.capture() as captured:
        console.print("[bold red]word[/]")
    assert captured.get() == "word\n"


def test_what_is_piped_has_no_blanks_at_the_ends_of_its_lines() -> None:
    """A table pads its cells; whoever reads it by line, or keeps it, has no use for that."""
    less = [word for key in (0, 1) for word in ("--set", f"workload.{key}.tasks=100")]
    small = ("run", "quickstart", "--time", "virtual", "--set", "vars.nodes=20", *less)
    for arguments in ((*small, "--no-trace"), (*small, "-q")):
        lines = run(*arguments).output.splitlines()
        assert lines
        assert [line for line in lines if line != line.rstrip()] == []


def test_the_help_of_an_option_is_no_catalogue() -> None:
    """Of forty mutants the help had two screens, and what stands behind them nobody found."""
    told = run("run", "--help").output
    assert "dcompute list mutants" in " ".join(told.replace("│", " ").split())
    assert "ignore-incarnation" not in told
