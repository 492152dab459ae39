"""A hunt repeats, ends by itself, finds what fails, and leaves files that fail alike."""

from __future__ import annotations

import io
import itertools
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from dcompute_sim.checks import Status
from dcompute_sim.faults import KINDS, NodeFault
from dcompute_sim.hunt import hunting
from dcompute_sim.hunt.corpus import Corpus, Entry
from dcompute_sim.hunt.corpus_folder import keep, read_corpus
from dcompute_sim.hunt.features import MISHAP, STEP
from dcompute_sim.hunt.finding_file import write_finding
from dcompute_sim.hunt.hunter import Finding, Hunt, HuntTrial, NothingToHunt, Shown
from dcompute_sim.hunt.hunting import HuntBounds, carry_out, run_trial
from dcompute_sim.hunt.mutation import Breeder
from dcompute_sim.hunt.promise import Promise
from dcompute_sim.report.hunt_report import print_hunt
from dcompute_sim.run import RunOptions
from dcompute_sim.scenario import Scenario, concretise, find, load
from dcompute_sim.shrink.failure import Failure
from dcompute_sim.terminal import make_console

pytest_plugins = ["pytester"]

SMALL = load(find("swarm"), ["random.nodes=[2, 4]", "random.tasks=[10, 20]"])
DRAWN = concretise(SMALL)


def shown(*features: str, status: Status = Status.HELD, failures: list[Failure] | None = None) -> Shown:
    return Shown(DRAWN, status, failures or [], {("step", name) for name in features}, 100, [], Counter())


def history(hunt: Hunt) -> list[Any]:
    return [hunt.runs, sorted(hunt.corpus.shown.items()), [e.scenario for e in hunt.corpus.entries]]


def test_the_same_hunt_twice() -> None:
    """Two chunks and more are decided ahead, on what has come back: in order, whoever was quicker."""
    hunts = [Hunt(SMALL, seed=7) for _ in range(2)]
    for hunt in hunts:
        carry_out(hunt, RunOptions(), HuntBounds(runs=26), partial(ThreadPoolExecutor, 1))
    assert hunts[0].runs == 26
    assert history(hunts[0]) == history(hunts[1])
    assert any(len(entry.families) == 1 for entry in hunts[0].corpus.entries)
    other = Hunt(SMALL, seed=8)
    carry_out(other, RunOptions(), HuntBounds(runs=4))
    assert [e.scenario for e in other.corpus.entries][:1] != [e.scenario for e in hunts[0].corpus.entries][:1]


@pytest.mark.parametrize(("bred_cost", "fewest", "most"), [(100, 75, 130), (25, 25, 65)])
def test_half_of_the_time_goes_to_fresh_runs(bred_cost: int, fewest: int, most: int) -> None:
    """So of runs that cost the same half, and the fewer the less the bred ones cost."""
    hunt = Hunt(SMALL)
    trials = []
    for number in range(200):
        trials.append(hunt.next())
        cost = bred_cost if trials[-1].families else 100
        hunt.take(trials[-1], replace(shown(str(number)), events=cost))
    fresh = [trial for trial in trials if not trial.families]
    assert fewest < len(fresh) < most
    assert not any(trial.families for trial in trials[:16])  # what one condition shows is found as soon
    assert len({trial.scenario.seed for trial in fresh}) == len(fresh)


def test_fresh_runs_have_many_faults_for_what_they_cost() -> None:
    """What a run shows grows with its faults, its cost with its nodes and tasks. The first are
    as drawn."""

    def faults_for_cost(hunt: Hunt, runs: int) -> float:
        drawn = [trial.scenario for trial in (hunt.next() for _ in range(runs)) if not trial.families]
        return fmean(len(one.faults) / (len(one.nodes()) * len(one.workload)) for one in drawn)

    hunt = Hunt(SMALL)
    plain = faults_for_cost(hunt, 16)
    assert faults_for_cost(hunt, 60) > 1.2 * plain


def test_of_the_drafts_the_one_is_run_that_promises_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it stands among them, and by what the runs so far have shown."""
    drafts: list[Scenario] = []
    breed = Breeder.breed

    def noted(breeder: Breeder, parent: Entry, other: Entry) -> Scenario:
        drafts.append(breed(breeder, parent, other))
        return drafts[-1]

    monkeypatch.setattr(Breeder, "breed", noted)
    hunt, promise, places = Hunt(SMALL), Promise(), Counter[int]()
    struck = [kind for kind, fault in sorted(KINDS.items()) if issubclass(fault, NodeFault)]
    for number in range(60):
        drafts.clear()
        trial = hunt.next()
        if trial.families:
            worth = [promise.of_bred(draft) for draft in drafts]
            place = next(place for place, draft in enumerate(drafts) if draft is trial.scenario)
            assert len(drafts) > 1
            assert worth[place] == max(worth)
            places[place] += min(worth) < max(worth)
        pair = (f"{struck[number % 7]} while idle", "soon", f"{struck[number % 5]} while idle")
        showed = replace(shown(), scenario=trial.scenario, features={(MISHAP, *pair), (STEP, str(number))})
        promise.take(showed.features)
        hunt.take(trial, showed)
    assert len(+places) > 1


def test_it_ends_when_hardly_anything_new_is_to_be_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = iter(itertools.chain(map(str, range(30)), itertools.repeat("0")))
    monkeypatch.setattr(hunting, "run_trial", lambda options, scenario: shown("0", next(ends)))
    hunt = Hunt(SMALL)
    assert carry_out(hunt, RunOptions(), HuntBounds()) == "hardly anything new is to be expected"
    assert 800 < hunt.runs < 10_000  # it takes 400 bred runs to know
    assert hunt.steps.chance is not None
    assert hunt.steps.chance < hunting.LITTLE
    assert hunt.newest_step <= 40


def test_it_ends_at_its_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = itertools.count()
    monkeypatch.setattr(hunting, "run_trial", lambda options, scenario: shown(str(next(numbers))))
    clock = itertools.count(0.0, 10.0)
    by_time = Hunt(SMALL)
    assert carry_out(by_time, RunOptions(), HuntBounds(for_s=60), now_s=clock.__next__) == "its time is up"
    assert by_time.runs == 24
    by_runs = Hunt(SMALL)
    assert carry_out(by_runs, RunOptions(), HuntBounds(runs=6)) == "that many runs are done"
    assert by_runs.runs == 6


def test_only_failed_is_a_finding_and_undecided_is_left_alone() -> None:
    hunt = Hunt(SMALL)
    failure = Failure("x", "3 of 4 wrong", "of wrong", frozenset({("A",)}))
    undecided = hunt.next()
    assert hunt.take(undecided, shown("u", status=Status.INCONCLUSIVE)) is None
    assert (hunt.undecided, hunt.findings, hunt.corpus.entries) == (1, [], [])
    for _ in range(2):
        assert hunt.take(hunt.next(), shown("f", status=Status.FAILED, failures=[failure])) is None
    (finding,) = hunt.findings
    assert finding.times == 2
    other = Failure("y", "late", "late", frozenset())
    hunt.take(hunt.next(), shown("f", status=Status.FAILED, failures=[failure, other]))
    assert [one.failure.label for one in hunt.findings] == ["x", "y"]
    assert hunt.corpus.entries == []  # its neighbours fail of the same


def test_a_fault_that_waits_in_vain_leaves_nothing_undecided() -> None:
    """Without it the run is the same: it is judged, and bred from, as that."""
    drawn = concretise(SMALL, 4)
    waits = KINDS["reset"].model_validate(
        {"kind": "reset", "id": "late", "when": {"event": "task_received", "count": 5000}, "sure": True}
    )
    plain = run_trial(RunOptions(), drawn)
    shown = run_trial(RunOptions(), drawn.model_copy(update={"faults": [*drawn.faults, waits]}))
    assert plain.status is Status.HELD
    assert shown.status is Status.HELD
    assert shown.scenario == drawn
    assert shown.features == plain.features


def test_a_hunt_that_decided_nothing_says_so() -> None:
    """As its exit status does; interrupted before the first run was over, say."""
    out = io.StringIO()
    hunt = Hunt(SMALL)
    print_hunt(make_console("plain", out), hunt, "interrupted", 1.0, [])
    assert "undecided: 0 findings; 0 of 0 runs failed" in out.getvalue()
    assert "a new step: not known yet (a fresh seed not known yet, a bred run: after 400" in out.getvalue()
    hunt.take(hunt.next(), shown("a"))
    print_hunt(make_console("plain", out), hunt, "interrupted", 1.0, [])
    assert "held: 0 findings; 0 of 1 run failed" in out.getvalue()
    assert "not known yet (a fresh seed 100 %, a bred run: after 400 of them, 0 so far)" in out.getvalue()


def test_energy_goes_to_what_is_rare_for_its_cost() -> None:
    import random

    corpus = Corpus()

    def entry(name: str, events: int) -> Entry:
        return Entry(SMALL, corpus.news([("step", name)]), events, [], frozenset({1}))

    common, dear, rare = entry("common", 100), entry("dear", 1000), entry("rare", 100)
    for _ in range(99):
        corpus.news([("step", "common")])
    for one in (common, dear, rare):
        corpus.keep(one)
    rng = random.Random(1)
    chosen = Counter(id(corpus.choose(rng)) for _ in range(45))
    assert chosen[id(rare)] > chosen[id(dear)] > chosen[id(common)]
    for _ in range(400):
        corpus.choose(rng)
    assert common.bred > 10  # and nothing for ever: what was bred from often has less


def test_a_scenario_without_ranges_cannot_be_searched() -> None:
    with pytest.raises(NothingToHunt, match="quickstart draws nothing"):
        Hunt(load(find("quickstart")))


def test_a_corpus_is_read_back_and_run_first(tmp_path: Path) -> None:
    kept = [concretise(SMALL, seed) for seed in (1, 2)]
    for scenario in [*kept, *kept]:
        keep(tmp_path, scenario)
    foreign = concretise(load(find("swarm"), ["random.faults=[9, 12]"]), 3)
    keep(tmp_path, foreign)
    (tmp_path / "bad.yaml").write_text("version: 2\n")
    given, wrong = read_corpus(tmp_path)
    assert len(given) == 3
    assert len(wrong) == 1
    hunt = Hunt(SMALL, given=given)
    assert hunt.refused == 1
    first = [hunt.next().scenario for _ in range(2)]
    assert sorted(one.seed for one in first) == [1, 2]
    assert all(one in kept for one in first)
    assert any(one.masters for one in first)  # what a swarm adds to a scenario comes back whole


def test_a_kept_run_is_in_the_namespace_of_the_hunt() -> None:
    kept = concretise(SMALL, 1)
    elsewhere = kept.model_copy(update={"namespace": "elsewhere"})
    fixed = SMALL.model_copy(update={"namespace": "here"})
    assert Hunt(SMALL, given=[kept]).next().scenario.namespace == kept.namespace
    assert Hunt(SMALL, given=[elsewhere]).next().scenario.namespace != "elsewhere"
    assert Hunt(fixed, given=[kept]).next().scenario.namespace == "here"


def test_what_it_finds_fails_again_from_its_file(tmp_path: Path) -> None:
    hunt = Hunt(SMALL, seed=1)
    options = RunOptions(mutants=("no-held-results",))
    told: list[Finding] = []
    why = carry_out(hunt, options, HuntBounds(runs=200, first_finding=True), on_finding=told.append)
    assert why == "the first finding ends it"
    assert told == hunt.findings, "when it is made, not when all is over"
    path = tmp_path / "found.yaml"
    assert write_finding(hunt.findings[0], options, path)
    text = path.read_text()
    assert f"# Fails:       {hunt.findings[0].failure.label}" in text
    again = load(path)
    assert again.random is None
    assert [fault.id for fault in again.faults] == [fault.id for fault in hunt.findings[0].scenario.faults]


def test_a_crash_of_the_code_under_test_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(hunting, "run_scenario", broken)
    what = hunting.run_trial(RunOptions(), concretise(SMALL, 1))
    assert what.status is Status.FAILED
    assert what.failures[0].summary == "ended by ZeroDivisionError: division by zero"
    hunt = Hunt(SMALL)
    hunt.take(HuntTrial(1, SMALL), what)
    assert len(hunt.findings) == 1


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dcompute_sim.commands import app
    from typer.testing import CliRunner

    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke
    ranges = ["--set", "random.nodes=[2, 4]", "--set", "random.tasks=[10, 20]"]
    given = ["hunt", "swarm", *ranges, "--jobs", "1", "--corpus", "kept", "--plain"]
    found = run(app, [*given, "--runs", "40", "--mutant", "no-will", "--fail-fast", "--shrink"])
    assert found.exit_code == 1, found.output
    assert "Again: dcompute run runs/swarm-hunt-1.yaml" in found.output
    assert "the first finding ends it" in found.output
    assert Path("runs/swarm-hunt-1-shrunk.yaml").is_file()
    assert run(app, ["run", "runs/swarm-hunt-1.yaml", "-q", "--no-trace"]).exit_code == 1
    assert run(app, [*given, "--runs", "4"]).exit_code == 0
    assert list(Path("kept").glob("*.yaml"))
    refused = run(app, ["hunt", "quickstart"])
    assert refused.exit_code == 2
    assert "draws nothing" in refused.output
    assert run(app, ["hunt", "swarm", "--for", "5"]).exit_code == 2


HUNTED = """
version: 1
name: hunted
random: {nodes: [2, 4], tasks: [10, 20]}
master: {losses: 20, variant: VARIANT}
expect: [final_status, all_tasks_finished]
"""


def test_pytest_hunts_on_request(pytester: pytest.Pytester) -> None:
    """And says what it found, with the file that repeats it."""
    pytester.makefile(".scenario.yaml", hunted=HUNTED.replace("VARIANT", "no-liveness"))
    options = ["-p", "no:cacheprovider", "--dcompute-one-per=scenario", "--dcompute-hunt"]
    refused = pytester.runpytest_subprocess(*options, "5")
    refused.stderr.fnmatch_lines(["*--dcompute-hunt: a duration needs a unit*"])
    late = HUNTED.replace(", variant: VARIANT", "").replace("final_status", "dead_within: {bound: 1ms}")
    pytester.makefile(".scenario.yaml", late=late)
    result = pytester.runpytest_subprocess(*options, "0s")
    outcomes = result.parseoutcomes()
    assert outcomes["passed"] >= 2  # of each the run itself, and four of a hunt: only those of `late` fail
    assert 1 <= outcomes["failed"] <= 2
    result.stdout.fnmatch_lines(
        ["*dead_within (bound: 1ms) did not hold: *", "Again: dcompute run *found.yaml"]
    )
    assert list(pytester.path.rglob("found.yaml"))
