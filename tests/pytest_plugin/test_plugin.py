"""Scenarios as pytest tests: what is collected, how often it runs, what a failure leaves behind."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import dcompute_sim.pytest_items
import pytest
from dcompute_sim import RunOutcome, run_scenario
from dcompute_sim.scenario import load
from dcompute_sim.trace import read

pytest_plugins = ["pytester"]

# pytester forgets what was imported while it ran; known before, this is read once and not again by each test
for _module in ("dcompute_sim.engines.virtual", "dcompute_sim.report.html", "hypothesis", "xdist.dsession"):
    importlib.import_module(_module)

HELD = """\
version: 1
name: calm
duration: 10s
fleet: {py: {count: 2, keepalive: 5s}}
workload: [{tasks: 10, rate: 5/s, at: 2s}]
expect: [no_false_deaths, all_tasks_finished, {latency: {within: 1s}}]
"""
# The connection of a node is given up for its silence: a false death.
RED = """\
version: 1
name: deaf
duration: 60s
fleet: {py: {count: 1, keepalive: 5s, variant: no-ping}}
expect: [no_false_deaths, callback_once]
"""
UNDECIDED = HELD.replace("no_false_deaths", "callback_once").replace("calm", "vague")


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The seeds of all runs made in this process."""
    seeds: list[int] = []

    def counting(*args: Any, **kwargs: Any) -> RunOutcome:
        outcome = run_scenario(*args, **kwargs)
        seeds.append(outcome.scenario.seed)
        return outcome

    monkeypatch.setattr(dcompute_sim.pytest_items, "run_scenario", counting)
    return seeds


def test_a_test_an_expectation_and_one_run_for_all(pytester: pytest.Pytester, counted: list[int]) -> None:
    write(pytester.path, "night.scenario.yaml", HELD)
    result = pytester.runpytest("-v", "-p", "no:xdist")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(
        [
            "night.scenario.yaml::calm::no_false_deaths PASSED*",
            "night.scenario.yaml::calm::all_tasks_finished PASSED*",
            "night.scenario.yaml::calm::latency (within: 1*) PASSED*",
            "night.scenario.yaml::calm::the run itself PASSED*",
        ]
    )
    assert counted == [1]
    assert not (pytester.path / "dcompute-artefacts").exists()


@pytest.mark.parametrize("error", [OSError("disk full"), ValueError("a report's own fault")])
def test_a_run_whose_report_fails_is_not_repeated(
    pytester: pytest.Pytester, counted: list[int], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(*_: Any) -> str:
        raise error

    monkeypatch.setattr(dcompute_sim.pytest_items, "html", broken)
    write(pytester.path, "deaf.scenario.yaml", RED)
    result = pytester.runpytest("-p", "no:xdist")
    assert counted == [1]
    result.stdout.fnmatch_lines([f"*{error}*"])
    assert result.ret is pytest.ExitCode.TESTS_FAILED


def test_other_yaml_files_are_left_alone(pytester: pytest.Pytester) -> None:
    write(pytester.path, "compose.yaml", "services: {}\n")
    assert pytester.runpytest().ret is pytest.ExitCode.NO_TESTS_COLLECTED


def test_a_file_asked_for_by_name_is_a_scenario(pytester: pytest.Pytester) -> None:
    path = write(pytester.path, "calm.yaml", HELD)
    pytester.runpytest(path).assert_outcomes(passed=4)


def test_collecting_runs_nothing(pytester: pytest.Pytester, counted: list[int]) -> None:
    write(pytester.path, "night.scenario.yaml", HELD)
    result = pytester.runpytest("--collect-only", "-q")
    result.stdout.fnmatch_lines(["*::calm::no_false_deaths"])
    assert counted == []


def test_what_does_not_hold_is_told_with_events_replay_and_artefacts(pytester: pytest.Pytester) -> None:
    write(pytester.path, "bad.scenario.yaml", RED)
    result = pytester.runpytest()
    result.assert_outcomes(failed=1, passed=2)
    result.stdout.fnmatch_lines(
        [
            "no_false_deaths did not hold: *",
            "*> * death_reported*py-1*",
            "Again: dcompute run bad.scenario.yaml --seed 1 --broker model --time virtual",
            "See: *report.html, trace.jsonl",
        ]
    )
    result.stdout.no_fnmatch_line("*pytest_items.py*")
    (folder,) = (pytester.path / "dcompute-artefacts").iterdir()
    trace = read(folder / "trace.jsonl")
    assert trace.started.scenario == "bad.scenario.yaml"
    assert "death_reported" in (folder / "report.html").read_text(encoding="utf-8")
    again = run_scenario(load(pytester.path / "bad.scenario.yaml"), None)
    assert len(again.trace) == len(trace)


def test_what_was_not_put_to_the_test_is_no_pass(pytester: pytest.Pytester) -> None:
    write(pytester.path, "vague.scenario.yaml", UNDECIDED)
    result = pytester.runpytest()
    result.assert_outcomes(failed=1, passed=3)
    result.stdout.fnmatch_lines(["callback_once was not put to the test: no death was reported*"])


def test_a_fault_without_effect_fails_the_run_itself(pytester: pytest.Pytester) -> None:
    # the Wi-Fi is away between two pings: nothing is lost, so nothing is proved
    write(
        pytester.path,
        "idle.scenario.yaml",
        "version: 1\nname: idle\nduration: 100s\nfleet: {py: {keepalive: 50s}}\n"
        "faults: [{kind: wifi_drop, at: 10s, for: 1s}]\nexpect: [no_false_deaths]\n",
    )
    result = pytester.runpytest()
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["fault_receipts was not put to the test: 1 of 1 fault had no witness*"])


def test_one_test_a_scenario(pytester: pytest.Pytester) -> None:
    write(pytester.path, "bad.scenario.yaml", RED)
    write(pytester.path, "good.scenario.yaml", HELD)
    result = pytester.runpytest("--dcompute-one-per", "scenario", "--dcompute-artefacts", "left")
    result.assert_outcomes(failed=1, passed=1)
    assert (pytester.path / "left").is_dir()
    pytester.makeini("[pytest]\ndcompute_one_per = scenario\n")
    pytester.runpytest().assert_outcomes(failed=1, passed=1)


def test_a_folder_is_collected_and_nothing_else(pytester: pytest.Pytester) -> None:
    write(pytester.path, "plant/calm.yaml", HELD)
    write(pytester.path, "plant/deaf.yaml", RED)
    write(pytester.path, "plant/boards.yaml", "version: 1\nboards: {esp: {virtual: true}}\n")  # no scenario
    pytester.makepyfile(test_other="def test_other(): pass")
    pytester.runpytest("--dcompute-dir", "plant").assert_outcomes(failed=1, passed=6)
    beside = pytester.runpytest("--dcompute-dir", "plant", "test_other.py")
    beside.assert_outcomes(failed=1, passed=7)
    assert pytester.runpytest("--dcompute-dir", "plnt").ret is pytest.ExitCode.USAGE_ERROR


def test_files_named_in_the_ini_file(pytester: pytest.Pytester) -> None:
    write(pytester.path, "plant/calm.yaml", HELD)
    write(pytester.path, "plant/draft.yaml", RED)
    write(pytester.path, "tests/test_other.py", "def test_other(): pass\n")
    pytester.makeini("[pytest]\ntestpaths = tests\ndcompute_scenarios = plant/c*.yaml\n")
    pytester.runpytest().assert_outcomes(passed=5)
    pytester.runpytest("tests").assert_outcomes(passed=1)


def test_many_seeds(pytester: pytest.Pytester, counted: list[int]) -> None:
    write(pytester.path, "night.scenario.yaml", HELD)
    result = pytester.runpytest("-p", "no:xdist", "--dcompute-seeds", "4..6", "-v")
    result.assert_outcomes(passed=12)
    result.stdout.fnmatch_lines(["*::calm seed 5::no_false_deaths PASSED*"])
    assert counted == [4, 5, 6]


def test_wrong_seeds_are_a_usage_error(pytester: pytest.Pytester) -> None:
    write(pytester.path, "night.scenario.yaml", HELD)
    result = pytester.runpytest("--dcompute-seeds", "9..1")
    assert result.ret is pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--dcompute-seeds: there are no seeds in '9..1'*"])


def test_every_combination_of_a_matrix(pytester: pytest.Pytester) -> None:
    text = RED.replace("no-ping", "'${m}'") + "matrix: {m: [no-ping, fifo-queue]}\n"
    write(pytester.path, "two.scenario.yaml", text)
    result = pytester.runpytest("-v")
    result.stdout.fnmatch_lines(
        [
            "*deaf?m=no-ping?::no_false_deaths FAILED*",
            "*deaf?m=fifo-queue?::no_false_deaths PASSED*",
            "Again: * --only *m=no-ping*",
        ]
    )


def test_an_invalid_scenario_is_a_located_error(pytester: pytest.Pytester) -> None:
    write(pytester.path, "bad.scenario.yaml", HELD.replace("keepalive", "keepalve"))
    result = pytester.runpytest()
    assert result.ret is pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(
        ["*bad.scenario.yaml:4:*unknown key `keepalve`*", "*did you mean `keepalive`*"]
    )
    result.stdout.no_fnmatch_line("*Traceback*")


def test_what_cannot_run_here_says_so(pytester: pytest.Pytester) -> None:
    text = HELD + "time: real\nbroker: mqtt://127.0.0.1:1\n"
    write(pytester.path, "far.scenario.yaml", text)
    result = pytester.runpytest()
    result.assert_outcomes(failed=4)
    result.stdout.fnmatch_lines(["calm cannot be run here: *127.0.0.1*"])
    pytester.runpytest("-m", "not dcompute_real").assert_outcomes(deselected=4)


def test_all_tests_of_a_run_are_on_one_worker(pytester: pytest.Pytester) -> None:
    for name in ("a", "b", "c", "d"):
        write(pytester.path, f"plant/{name}.yaml", HELD.replace("calm", name))
    result = pytester.runpytest("--dcompute-dir", "plant", "-n", "2", "-v")
    result.assert_outcomes(passed=16)
    done = re.findall(r"\[(gw\d)\].*PASSED plant/(\w)\.yaml", result.stdout.str())
    assert len(done) == 16
    assert len(set(done)) == 4, "a scenario was run by two workers"
    assert {worker for worker, _ in done} == {"gw0", "gw1"}


# --- the fixture -----------------------------------------------------------------------------------------


def test_the_fixture_runs_files_and_shipped_scenarios(pytester: pytest.Pytester) -> None:
    write(pytester.path, "plant/calm.yaml", HELD)
    pytester.makepyfile(
        """
        from dcompute_sim.checks import Status

        def test_file(scenario):
            assert len(scenario("plant/calm.yaml", overrides=["fleet.py.count=3"]).scenario.nodes()) == 3

        def test_shipped(scenario):
            assert scenario("stale_will").verdict.exit_status == 0

        def test_mutant(scenario):
            outcome = scenario("stale_will", mutants=("ignore-incarnation",), held=False)
            assert "no_false_deaths" in [result.name for result in outcome.verdict.of(Status.FAILED)]
        """
    )
    pytester.runpytest().assert_outcomes(passed=3)


def test_the_fixture_fails_the_test_with_everything_needed(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from dcompute_sim import Scenario

        def test_built_in_code(scenario):
            scenario(Scenario.model_validate({
                "version": 1, "name": "deaf", "duration": "60s", "expect": ["no_false_deaths"],
                "fleet": {"py": {"count": 1, "keepalive": "5s", "variant": "no-ping"}},
            }))
        """
    )
    result = pytester.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*no_false_deaths did not hold: *", "*Again: dcompute run *scenario.yaml --seed 1*"]
    )
    (kept,) = (pytester.path / "dcompute-artefacts").glob("*/scenario.yaml")
    assert run_scenario(load(kept)).trace.events[1:] == read(kept.parent / "trace.jsonl").events[1:]


def test_the_fixture_takes_the_seeds_of_the_command_line(pytester: pytest.Pytester) -> None:
    write(pytester.path, "plant/calm.yaml", HELD)
    pytester.makepyfile(
        """
        def test_it(scenario, scenario_seed):
            assert scenario("plant/calm.yaml").scenario.seed == (scenario_seed or 1)
        """
    )
    pytester.runpytest().assert_outcomes(passed=1)
    pytester.runpytest("--dcompute-seeds", "2..4").assert_outcomes(passed=3)


# --- other projects ---------------------------------------------------------------------------------------


def test_a_project_with_packages_of_our_names_is_served(tmp_path: Path) -> None:
    """`python -m pytest` puts the project's root first on the path: none of ours may be found there."""
    for package in ("sim", "scenario", "trace", "checks"):
        write(tmp_path, f"{package}/__init__.py", "OURS = False\n")
    write(tmp_path, "faults.py", "OURS = False\n")
    write(tmp_path, "night.scenario.yaml", HELD)
    test = (
        "import checks, faults, scenario, sim, trace\n\n\ndef test_theirs():\n    assert not "
        "(checks.OURS or faults.OURS or scenario.OURS or sim.OURS or trace.OURS)\n"
    )
    write(tmp_path, "test_theirs.py", test)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:hypothesispytest"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout  # one of theirs, four items of ours


# --- not used --------------------------------------------------------------------------------------------


def test_the_plugin_imports_nothing_until_it_is_used() -> None:
    heavy = (
        "pydantic",
        "simpy",
        "paho",
        "rich",
        "ruamel",
        "dcompute_sim.scenario",
        "dcompute_sim.run",
        "dcompute_sim.pytest_items",
    )
    code = (
        f"import sys, dcompute_sim.pytest_plugin; print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_package_gives_its_api_when_asked() -> None:
    code = (
        "import dcompute_sim; assert dcompute_sim.Scenario.__name__ == 'Scenario'; "
        "from dcompute_sim import RunOutcome, run_scenario; dcompute_sim.nothing"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "module 'dcompute_sim' has no attribute 'nothing'" in done.stderr
