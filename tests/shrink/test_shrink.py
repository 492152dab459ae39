"""Failing runs become small scenarios that fail for the same reason, from the file alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dcompute_sim.checks import Status
from dcompute_sim.checks.check import failed
from dcompute_sim.checks.verdict import Result, Verdict
from dcompute_sim.faults import Fault, NodeFault
from dcompute_sim.run import RunOptions, run_scenario
from dcompute_sim.scenario import Scenario, concretise, find, load, load_all
from dcompute_sim.shrink import reductions, story
from dcompute_sim.shrink.failure import Failure, failures
from dcompute_sim.shrink.pinning import pinned
from dcompute_sim.shrink.search import NothingToShrink, Search, ShrinkTrial, attempt, healthy
from dcompute_sim.trace import FaultInjected

pytest_plugins = ["pytester"]

SWARM_RUNS = [
    ("unretained-status", 1),
    ("subscribes-once", 1),
    ("random-client-id", 1),
    ("no-held-results", 1),
    ("fifo-queue", 1),
    ("no-will", 2),
]
"""Mutants and seeds of the swarm that fail, for six kinds of reason. Two more, of firmware, are in
`benchmarks/shrink.py`: they take half a minute."""
MAX_RUNS, MAX_FAULTS, MAX_NODES = 100, 3, 3


@pytest.mark.parametrize(("mutant", "seed"), SWARM_RUNS)
def test_a_failing_swarm_run_becomes_a_small_scenario(mutant: str, seed: int, tmp_path: Path) -> None:
    swarm = load(find("swarm"))
    shrunk = Search(swarm, RunOptions(seed=seed, mutants=(mutant,))).run()
    small = shrunk.scenario
    assert len(small.faults) <= MAX_FAULTS
    assert len(small.nodes()) <= MAX_NODES
    assert shrunk.runs <= MAX_RUNS
    assert small.random is None
    assert not any(fault.when or fault.between or fault.every for fault in small.faults)
    victims = [name for fault in small.faults for name in _names(fault)]
    lowest = {f"{name}-{n}" for name, group in small.fleet.items() for n in range(1, group.count + 1)}
    assert set(victims) <= lowest

    path = tmp_path / "small.yaml"
    assert story.write(shrunk, path)
    again = run_scenario(load(path)).verdict  # the mutant is in the file
    assert [shrunk.failure.same_as(found) for found in failures(again)] == [True]
    text = path.read_text()
    assert f"# Fails:       {shrunk.failure.label}" in text
    assert f"mutant {mutant}" in text
    cured = run_scenario(healthy(load(path))).verdict
    assert cured.results[0].outcome.status is not Status.FAILED  # it is the mutant that it shows


def _names(fault: Fault) -> list[str]:
    return fault.select.names or [] if isinstance(fault, NodeFault) else []


FAILS: dict[str, Any] = {
    "version": 1,
    "name": "fails",
    "seed": 3,
    "phases": {"storm": "40s", "quiet": "30s"},
    "fleet": {
        "a": {"count": 4, "keepalive": "6s", "variant": "no-will"},
        "b": {"count": 3, "keepalive": "6s"},
    },
    "workload": [{"tasks": 20, "rate": "1/s", "until": "30s"}, {"tasks": 5, "target": {"node": "b-2"}}],
    "faults": [
        {"kind": "hang", "at": "5s", "for": "2s", "select": {"group": "b"}},
        {"kind": "crash", "between": ["8s", "20s"], "select": {"group": "a", "count": 2}},
        {"kind": "reset", "when": {"event": "task_taken", "count": 4}, "select": {"group": "b"}},
        {"kind": "wifi_drop", "every": "12s", "until": "38s", "for": "3s", "select": {"group": "b"}},
    ],
    "expect": [{"dead_within": {"bound": "2s"}}, "all_tasks_finished"],
}


def failing() -> Scenario:
    return Scenario.model_validate(FAILS)


def test_what_the_run_drew_is_written_down() -> None:
    """The same faults at the same moments on the same nodes, without a draw."""

    def strikes(scenario: Scenario) -> list[tuple[int, str, str]]:
        events = run_scenario(scenario).trace.events
        return [(e.t_us, e.kind, e.node) for e in events if isinstance(e, FaultInjected)]

    drawn = concretise(failing())
    explicit = pinned(drawn, run_scenario(drawn).trace.events)
    assert len(explicit.faults) > len(drawn.faults)
    assert all(fault.at is not None and fault.when is None for fault in explicit.faults)
    assert strikes(explicit) == strikes(drawn)


def test_only_what_it_takes_is_left() -> None:
    steps: list[str] = []
    shrunk = Search(failing(), RunOptions(), on_step=steps.append).run()
    (fault,) = shrunk.scenario.faults
    assert (fault.kind, fault.lasts) == ("crash", None)
    assert shrunk.scenario.nodes() == {"a-1": "a"}
    assert shrunk.scenario.workload == []
    assert shrunk.scenario.phases["quiet"] == 30
    assert shrunk.scenario.length_s < 70
    assert [check.name for check in shrunk.scenario.expect] == ["dead_within"]
    assert steps[0].startswith("dead_within: 2 of ")


def test_what_struck_next_to_the_failure_is_tried_alone() -> None:
    faults = [
        {"kind": "hang", "at": f"{at}s", "for": "1s", "select": {"names": ["a-1"]}} for at in (5, 9, 20, 30)
    ]
    scenario = Scenario.model_validate(FAILS | {"faults": faults})
    offered = next(reductions.only_near(10.0)(scenario))
    assert [[fault.at for fault in option.faults] for option in offered] == [[9], [5, 9], [5, 9, 20]]


def test_chance_decides_more_often_than_loss_and_jitter_tell() -> None:
    """As of several faults that have to meet: when a node connects again is drawn as well."""
    calm = failing()
    lossy = calm.model_copy(update={"network": calm.network.model_copy(update={"loss": 0.1})})
    kinds = (reductions.ONE, reductions.FEW, reductions.MANY, reductions.MANY_ALWAYS)
    assert [dice.of(calm) for dice in kinds] == [1, 1, 1, 5]
    assert [dice.of(lossy) for dice in kinds] == [1, 2, 5, 5]
    one_fault = calm.model_copy(update={"faults": calm.faults[:1]})
    assert list(reductions.fewer_of_several(one_fault)) == []


def test_the_number_of_processes_changes_nothing() -> None:
    alone = Search(failing(), RunOptions()).run()
    with ThreadPoolExecutor(1) as executor:  # one run at a time in a process; the batches are those of three
        beside = Search(failing(), RunOptions(), executor=executor, width=3).run()
    assert beside.scenario == alone.scenario
    assert beside.runs == alone.runs


def test_what_holds_cannot_be_shrunk() -> None:
    sound = failing().model_copy(update={"fleet": {"b": failing().fleet["b"]}, "faults": []})
    with pytest.raises(NothingToShrink, match="did not fail"):
        Search(sound, RunOptions()).run()
    with pytest.raises(NothingToShrink, match="real time"):
        Search(failing(), RunOptions(time="real")).run()


def test_it_stops_when_the_budget_is_spent() -> None:
    shrunk = Search(failing(), RunOptions(), max_runs=6).run()
    assert 6 <= shrunk.runs <= 8
    assert len(shrunk.scenario.nodes()) > 1


def test_another_reason_is_another_failure() -> None:
    def failure(**changed: Any) -> Failure:
        base = Failure("x", "3 of 4 nodes wrong; 1 excused", "of node wrong", frozenset({("FinalNode", "a")}))
        return replace(base, **changed)

    assert failure().same_as(failure(summary="1 of 2 node wrong", signs=frozenset()))
    assert not failure().same_as(failure(label="y"))
    assert not failure().same_as(failure(reason="of death late"))
    assert not failure().same_as(failure(signs=frozenset({("FinalNode", "b")})))


@pytest.mark.parametrize(
    ("one", "several"),
    [
        ("1 of 1 malformed message was not rejected", "2 of 2 malformed messages were not rejected"),
        ("1 of 59 tasks has no result", "12 of 59 tasks have no result"),
    ],
)
def test_one_of_what_failed_is_as_good_as_several(one: str, several: str) -> None:
    reasons = {
        found.reason
        for said in (one, several)
        for found in failures(Verdict((Result("x", "", "", failed(said, [])),), ()))
    }
    assert len(reasons) == 1


def test_a_run_that_fails_with_any_program_does_not_count() -> None:
    """Without its only node the work stays undone, whatever the program: that would show nothing."""
    keys = FAILS | {
        "fleet": {"a": {"keepalive": "6s"}},
        "faults": [{"kind": "power_cut", "at": "9s"}],
        "workload": [{"tasks": 20, "at": "5s", "rate": "1/s", "until": "30s"}],
        "expect": ["all_tasks_finished"],
    }
    scenario = concretise(Scenario.model_validate(keys))
    options = RunOptions(mutants=("no-will",))
    (failure,) = failures(run_scenario(scenario, options).verdict)
    assert attempt(ShrinkTrial(scenario, options, failure, control=False)).seed == scenario.seed
    assert attempt(ShrinkTrial(scenario, options, failure, control=True)).seed is None


def test_updates_are_taken_away_as_well() -> None:
    """All at once, else one by one: here the second is what it takes."""
    updates = [{"at": "1s", "version": f"v{number}"} for number in (2, 3, 4)]
    boards = {"b": {"kind": "firmware", "layout": "slots"}}
    whole = Scenario.model_validate(FAILS | {"fleet": FAILS["fleet"] | boards, "updates": updates})
    proposals, left = reductions.fewer_updates(whole), whole
    try:
        options = next(proposals)
        while True:
            good = next((o for o in options if any(u.version == "v3" for u in o.updates)), None)
            left = good or left
            options = proposals.send(good)
    except StopIteration:
        pass
    assert [update.version for update in left.updates] == ["v3"]
    assert reductions.fewer_updates in dict(reductions.in_order([], 0.0))


def test_what_the_failure_is_about_is_left_first() -> None:
    """And what strikes no single node; a stranger is a participant named by its fault."""
    others = [
        {"kind": "crash", "at": "9s", "id": "both", "select": {"names": ["a-1", "b-1"]}},
        {"kind": "crash", "at": "9s", "id": "other", "select": {"names": ["b-2"]}},
        {"kind": "broker_stop", "at": "9s", "id": "stop", "for": "2s"},
        {"kind": "malformed", "at": "9s", "id": "odd", "what": "empty task", "select": {"names": ["b-2"]}},
    ]
    scenario = failing().model_copy(
        update={"faults": Scenario.model_validate(FAILS | {"faults": others}).faults}
    )
    ((first, whole),) = reductions.only_about(["b-1", "odd-1-probe"])(scenario)
    assert [fault.id for fault in first.faults] == ["both", "stop"]
    assert [fault.id for fault in whole.faults] == ["both", "stop", "odd"]
    assert _names(first.faults[0]) == ["b-1"]
    assert list(reductions.only_about([])(scenario)) == [[]]
    said = failures(run_scenario(failing()).verdict)[0]
    assert said.about
    assert set(said.about) <= set(failing().nodes())


def test_dice_are_thrown_where_chance_is_left() -> None:
    lossy = failing().model_copy(update={"network": failing().network.model_copy(update={"loss": 0.05})})
    assert reductions.matter_of_chance(lossy)
    assert not reductions.matter_of_chance(failing())


def test_the_command_takes_a_trace_or_a_scenario(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from dcompute_sim.commands import app
    from typer.testing import CliRunner

    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke
    failed = run(app, ["run", "swarm", "--seed", "2", "--mutant", "no-will", "-q", "--trace", "t.jsonl"])
    assert failed.exit_code == 1
    by_trace = run(app, ["shrink", "t.jsonl", "--out", "a.yaml"])
    by_name = run(app, ["shrink", "swarm", "--seed", "2", "--mutant", "no-will", "--out", "b.yaml"])
    assert (by_trace.exit_code, by_name.exit_code) == (0, 0), by_trace.output + by_name.output
    small = [Path(name).read_text().partition("version:")[2] for name in ("a.yaml", "b.yaml")]
    assert small[0] == small[1]
    assert "wrote a.yaml: 1 fault, 1 node, 0 streams" in by_trace.output
    assert run(app, ["run", "a.yaml", "-q"]).exit_code == 1
    held = run(app, ["shrink", "swarm", "--seed", "3"])
    assert held.exit_code == 2
    assert "there is nothing to shrink" in held.output
    sweep = ["run", "swarm", "--seeds", "1..2", "--jobs", "1", "--mutant", "no-will", "--shrink", "-q"]
    swept = run(app, sweep)
    assert swept.exit_code == 1
    assert Path("runs/swarm-1-shrunk.yaml").is_file()


PYTEST = """
import pytest

def test_it(scenario):
    scenario("swarm", seed=2, mutants=("no-will",))
"""


def test_pytest_leaves_the_small_one(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PYTEST)
    result = pytester.runpytest_subprocess("--dcompute-shrink", "-p", "no:cacheprovider")
    result.assert_outcomes(failed=1)
    (small,) = pytester.path.rglob("shrunk.yaml")
    assert len(load_all(small)[0].nodes()) == 1
    result.stdout.fnmatch_lines(["*Small: dcompute run *shrunk.yaml"])
