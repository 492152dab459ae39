"""The same run, again: replayed, in other processes, with other hash seeds, on other interpreters."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from dcompute_sim.checks import Status
from dcompute_sim.net.fence import FenceError
from dcompute_sim.run import RunOptions, run_scenario
from dcompute_sim.scenario import Scenario, find, load_all
from dcompute_sim.trace import read

from dcompute.worker import TaskLoop

from .conftest import Done

GOLDEN = Path(__file__).parent / "golden_digest.txt"


def test_the_digest_is_the_one_written_down() -> None:
    """On every interpreter and machine. Rewritten by hand when the events of a run change on purpose."""
    scenario = load_all(find("quickstart"), ["fleet.py.count=20"])[0]
    outcome = run_scenario(scenario, RunOptions(reference="quickstart", time="virtual", broker="model"))
    assert len(outcome.trace) > 5_000
    assert outcome.trace.digest() == GOLDEN.read_text().strip()


def test_another_seed_is_another_run(small: Scenario) -> None:
    digests = {run_scenario(small, RunOptions(seed=seed)).trace.digest() for seed in (1, 2, 1)}
    assert len(digests) == 2


def test_runs_do_not_disturb_each_other(small: Scenario) -> None:
    """Whatever ran before in this process, and whatever other code drew from the global generator."""
    first = run_scenario(small, RunOptions(seed=3)).trace.digest()
    run_scenario(small, RunOptions(seed=4))
    random.seed(99)
    assert run_scenario(small, RunOptions(seed=3)).trace.digest() == first


def test_replay_identical_and_differing(
    dcompute: Callable[..., Done], write_scenario: Callable[..., Path], tmp_path: Path
) -> None:
    scenario = write_scenario()
    trace = tmp_path / "a.jsonl"
    command = ("run", scenario, "--seed", 5, "--mutant", "fifo-queue", "--broker", "mosquitto")
    dcompute(*command, "--set", "fleet.py.count=5", "--trace", trace, "-q")
    started = read(trace).started
    assert (started.seed, started.broker, started.mutants) == (5, "mosquitto", ["fifo-queue"])
    again = dcompute("run", "--replay", trace)
    lines = trace.read_text().splitlines()
    assert again.stdout == f"identical: {len(lines)} events\n"
    assert again.returncode == 0

    changed = json.loads(lines[40])
    changed["t_us"] += 1
    lines[40] = json.dumps(changed, separators=(",", ":"))
    trace.write_text("\n".join(lines) + "\n")
    again = dcompute("run", "--replay", trace)
    assert again.returncode == 1
    assert "first difference in line 41 of the trace:" in again.stdout
    assert lines[40] in again.stdout
    assert f'"t_us":{changed["t_us"] - 1}' in again.stdout

    trace.write_text("\n".join(lines[:30]) + "\n")
    again = dcompute("run", "--replay", trace)
    assert again.returncode == 1
    assert "line 31" in again.stdout
    assert "(nothing: it ended before)" in again.stdout


def test_readings_of_memory_need_not_repeat(
    dcompute: Callable[..., Done], write_scenario: Callable[..., Path], tmp_path: Path
) -> None:
    """They differ by some bytes from run to run; the line of what does differ is counted with them."""
    trace = tmp_path / "a.jsonl"
    dcompute("run", write_scenario(), "--trace", trace, "-q")
    lines = trace.read_text().splitlines()
    lines.insert(20, '{"event":"node_memory","node":"py-1","allocated":1,"free":2,"t_us":0}')
    trace.write_text("\n".join(lines) + "\n")
    again = dcompute("run", "--replay", trace)
    assert again.stdout == f"identical: {len(lines) - 1} events\n"
    trace.write_text("\n".join([*lines[:30], *lines[31:]]) + "\n")
    assert "first difference in line 31 of the trace" in dcompute("run", "--replay", trace).stdout


def test_replay_of_one_combination_of_a_matrix(
    dcompute: Callable[..., Done], write_scenario: Callable[..., Path], tmp_path: Path
) -> None:
    scenario = write_scenario(matrix={"fleet.py.count": [2, 3]})
    dcompute("run", scenario, "-q", "--trace", tmp_path / "m.jsonl")
    for number, nodes in ((1, 2), (2, 3)):
        path = tmp_path / f"m-{number}.jsonl"
        assert sum(line.startswith('{"event":"node_defined"') for line in path.open()) == nodes
        again = dcompute("run", "--replay", path)
        assert (again.returncode, again.stdout[:10]) == (0, "identical:")


def test_what_cannot_be_replayed(dcompute: Callable[..., Done], tmp_path: Path) -> None:
    real = tmp_path / "real.jsonl"
    real.write_text(
        '{"event":"run_started","t_us":0,"scenario":"quickstart","seed":1,"time":"real","broker":"embedded",'
        '"broker_granularity_s":0.0}\n'
    )
    refused = dcompute("run", "--replay", real)
    assert refused.returncode == 2
    assert "real time, which never repeats" in refused.stderr
    for content in ("", "{}\n", "no json\n"):
        real.write_text(content)
        refused = dcompute("run", "--replay", real)
        assert refused.returncode == 2
        assert str(real) in refused.stderr


def test_processes_that_hash_differently_run_the_same(
    dcompute: Callable[..., Done], write_scenario: Callable[..., Path]
) -> None:
    found = dcompute("run", write_scenario(), "--check-determinism")
    assert found.stdout.startswith("identical: ")
    assert found.returncode == 0


def test_a_dependence_on_hashes_is_found(
    dcompute: Callable[..., Done],
    tmp_path: Path,
    write_scenario: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same with the hash of a text in the trace, as the order of a set would put it there.

    The hash itself: the order of a small set may be the same in two processes that hash differently.
    """
    (tmp_path / "sitecustomize.py").write_text(
        "try:\n"
        "    import dataclasses\n"
        "    import os, time\n"
        "    time.sleep(2 * (os.environ['PYTHONHASHSEED'] == '2'))\n"  # slower: nothing is wrong
        "    import dcompute_sim.director.processes as d\n"
        "    was = d._spec\n"
        "    d._spec = lambda *a, **k: dataclasses.replace(was(*a, **k), seed=str(hash('a')))\n"
        "except Exception as error:\n"  # Python itself would go on without, and the traces be the same
        "    raise SystemExit(f'sitecustomize: {error!r}')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = dcompute("run", write_scenario(), "--check-determinism")
    assert found.returncode == 1, found
    assert "first difference in line" in found.stdout, found
    assert "PYTHONHASHSEED=1" in found.stdout


@pytest.mark.parametrize(
    "reach_out",
    [
        lambda: time.time(),  # looked up when called, as in a program
        lambda: time.monotonic(),
        lambda: time.sleep(0),
        lambda: random.random(),
        lambda: threading.Thread(target=print).start(),
    ],
    ids=["clock", "monotonic", "sleep", "randomness", "thread"],
)
def test_work_of_a_node_that_reaches_for_the_outside_fails_the_run(
    small: Scenario, monkeypatch: pytest.MonkeyPatch, reach_out: Callable[[], object]
) -> None:
    """Loudly, and at the call site: the name of this test is in the message."""

    def impatient(self: TaskLoop) -> None:
        reach_out()

    monkeypatch.setattr(TaskLoop, "kick", impatient)
    with pytest.raises(FenceError, match="in virtual time"):
        run_scenario(small)
    time.time()  # and outside nothing is forbidden


def test_what_a_program_raises_is_judged_and_ends_no_run(
    small: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(self: TaskLoop) -> None:
        raise KeyError("t-1")

    monkeypatch.setattr(TaskLoop, "kick", faulty)
    verdict = run_scenario(small).verdict
    raised = next(result for result in verdict.results if result.name == "programs_go_on")
    assert raised.outcome.status is Status.FAILED
    assert "KeyError: 't-1' (test_repeat.py:" in raised.outcome.summary
    assert next(r for r in verdict.results if r.name == "run_completed").outcome.status is Status.HELD
