"""`dcompute at`: the state of a run at one moment, from its trace."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from dcompute_sim.commands import app
from typer.testing import CliRunner

SCENARIO = """
version: 1
name: moments
duration: 40s
fleet: {py: {count: 2, keepalive: 4s, work: 3s}}
workload:
  - {tasks: 2, rate: 10/s, at: 10s}
  - {tasks: 1, at: 20.5s, target: {node: py-1}, via: transport}
faults: [{kind: power_cut, at: 20s, select: {names: [py-1]}, restart_after: 15s}]
expect: [no_false_deaths]
"""


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("at")
    (folder / "moments.yaml").write_text(SCENARIO)
    found = folder / "t.jsonl"
    words = ["run", str(folder / "moments.yaml"), "--quiet", "--trace", str(found)]
    assert CliRunner().invoke(app, words).exit_code == 0
    return found


def said(trace: Path, *words: str, status: int = 0) -> list[str]:
    result = CliRunner().invoke(app, ["at", str(trace), *words])
    assert result.exit_code == status, result.output
    return result.output.splitlines()


def test_what_everyone_was_and_held(trace: Path) -> None:
    head, broker, first, second = said(trace, "11s")
    assert head == "11.000000 s: broker up, master connected"
    assert broker == ("at the broker: 4 connections; retained 2 busy; 0 tasks under way; 0 results under way")
    for name, line in (("py-1", first), ("py-2", second)):
        assert line.startswith(f"{name}  connected as ")
        assert "the master believes busy; at work on " in line


def test_a_fault_and_what_the_master_still_believes(trace: Path) -> None:
    (_, line) = said(trace, "20.2s", "--node", "py-1")
    assert line == "py-1  off; the master believes ready; power_cut (power_cut-1); no connection"
    _, broker, *_ = said(trace, "30s")
    assert "1 task under way, 1 of them to nodes without a connection" in broker
    assert "retained 1 dead, 1 ready" in broker
    (_, line) = said(trace, "30s", "--node", "py-1")
    assert "the master believes dead" in line
    assert said(trace, "2h")[0].startswith("7200.000000 s, when the run was over since 41.0 s: broker up")
    assert re.search(r"; no connection; tasks under way to it: t\.\S+ \(since 20\.5 s\)$", line)


def test_a_node_that_there_is_not_is_named_with_those_there_are(trace: Path) -> None:
    told = " ".join(" ".join(said(trace, "30s", "--node", "py-9", status=2)).replace("\u2502", " ").split())
    assert "nothing is told of 'py-9' by then; of these it is: py-1, py-2" in told
    assert "1 fortnight" in " ".join(said(trace, "1 fortnight", status=2))


def test_what_the_broker_held_is_found_by_making_the_run_again(trace: Path) -> None:
    """A power cut is silent: until the keepalive is over its session is there, and what was sent hangs."""
    _, _, held, client, status = said(trace, "20.6s", "--node", "py-1", "--sessions")
    assert held.startswith("sessions at the broker: 4 sessions, 0 of absent clients, 1 in flight, 0 queued")
    assert client == "py-1  clean; 1 in flight, 0 queued"
    assert status.startswith("retained py-1/status  {")
    _, _, held, client, status = said(trace, "30s", "--node", "py-1", "--sessions")
    assert "3 sessions" in held
    assert client == "py-1  none"
    assert '"dead"' in status

    (trace.parent / "moments.yaml").write_text(SCENARIO.replace("count: 2", "count: 3"))
    assert "the scenario, or dcompute, is another" in said(trace, "30s", "--sessions")[-1]


def test_who_else_has_an_id_is_told_of_each_that_has_it(tmp_path: Path) -> None:
    """Of one that was thrown out it said `no connection`, and of its clone that the master knows nothing."""
    clone = "faults: [{kind: clone, at: 10s}]\n"
    head = SCENARIO.partition("faults:")[0].replace("count: 2", "count: 1")
    (tmp_path / "two.yaml").write_text(f"{head}{clone}expect: [no_false_deaths]\n")
    trace = tmp_path / "t.jsonl"
    words = ["run", str(tmp_path / "two.yaml"), "--quiet", "--trace", str(trace)]
    assert CliRunner().invoke(app, words).exit_code in (0, 1, 2)
    for moment in ("20s", "30s", "35s"):
        _, _, node, other = said(trace, moment)
        assert "; to the master it is py-1" in other
        assert "the master knows nothing of it" not in other
        away, there = sorted((node, other), key=lambda line: line.split()[1] == "connected")
        rival = there.split()[0]
        assert away.split()[1] != "connected"
        assert f"; {rival} is connected under its id, `py-1`, and the broker keeps but one" in away
