"""docs/your-own-firmware.md: from an empty folder to a verdict, as the page says."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from dcompute_sim.checks.check import Status
from dcompute_sim.checks.verdict import Verdict
from dcompute_sim.commands import app
from dcompute_sim.run import RunOptions, run_scenario
from dcompute_sim.scenario import load
from typer.testing import CliRunner

from .conftest import ROOT

PAGE = (ROOT / "docs" / "your-own-firmware.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.S)
(FIRST, CHANGED), (SCENARIO,), (FAILED, HELD) = (
    [text for kind, text in BLOCKS if kind == wanted] for wanted in ("python", "yaml", "text")
)
BETTER = FIRST[: FIRST.index("async def main")] + CHANGED


def write(folder: Path, program: str, scenario: str = SCENARIO) -> Path:
    (folder / "program").mkdir()
    (folder / "program" / "main.py").write_text(program)
    (folder / "own.yaml").write_text(scenario)
    return folder / "own.yaml"


def words(text: str) -> str:
    return " ".join(text.split())


def sentences(said: str) -> list[str]:
    """What the page shows of a verdict, each line with those that go on with it."""
    return [words(part) for part in re.split(r"\n(?! )", said.strip())]


@pytest.mark.parametrize(("program", "said", "status"), [(FIRST, FAILED, 1), (BETTER, HELD, 0)])
def test_what_the_page_says_is_what_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, said: str, status: int
) -> None:
    write(tmp_path, program)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["run", "own.yaml", "--plain", "--no-trace"])
    assert done.exit_code == status, done.output
    told = words(done.output)
    for sentence in sentences(said):
        assert sentence in told


def verdict_of(path: Path, time: str) -> Verdict:
    return run_scenario(load(path), RunOptions(time=time)).verdict


def test_both_times_say_the_same(tmp_path: Path) -> None:
    """In short: nodes without work that are given up, or are not, and a connection that is reset."""
    # In virtual time a board would be as slow to join as a chip; in real time it is not.
    quick = SCENARIO.replace("keepalive: 10s", "keepalive: 1s, timing: none")
    quick = quick.replace("start: 5s, work: 25s, quiet: 30s", "start: 1s, work: 4s, quiet: 5s")
    quick = quick.replace("tasks: 20, rate: 1/s", "tasks: 4, rate: 8/s").replace("at: 12s", "at: 2s")
    quick = re.sub(r"\n  - \{kind: power_cut.*", "", quick)
    without = re.sub(r"\nfaults:\n  - \{kind: reset.*", "", quick)
    paths = {}
    for name, program, scenario in (("first", FIRST, without), ("better", BETTER, quick)):
        (tmp_path / name).mkdir()
        paths[name] = write(tmp_path / name, program, scenario)
    with ThreadPoolExecutor() as pool:  # what runs in real time mostly waits
        verdicts = {(name, "real"): pool.submit(verdict_of, path, "real") for name, path in paths.items()}
        real = {key: verdict.result() for key, verdict in verdicts.items()}
    virtual = {(name, "virtual"): verdict_of(path, "virtual") for name, path in paths.items()}
    found = {
        key: {result.name: result.outcome.status for result in verdict.results}
        for key, verdict in (real | virtual).items()
    }
    for name in ("first", "better"):
        assert found[name, "virtual"] == found[name, "real"]
    assert found["first", "real"]["no_false_deaths"] is Status.FAILED
    assert set(found["better", "real"].values()) == {Status.HELD}
