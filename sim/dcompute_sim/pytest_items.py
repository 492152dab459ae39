"""Scenarios as pytest sees them: a file, in it one or more runs (matrix, seeds), in each its expectations.

A run is done once, when the first of its tests is, and remembered in words: a thousand tests must not keep a
thousand traces. What did not hold leaves its trace and its page behind, and the command that repeats it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from dcompute.parts import number_of
from dcompute_sim.brokers.real_broker import BrokerError
from dcompute_sim.campaign import parse_seeds
from dcompute_sim.checks.check import Status
from dcompute_sim.checks.verdict import Result, label_of
from dcompute_sim.hunt.finding_file import write_finding
from dcompute_sim.hunt.hunter import Finding, Hunt
from dcompute_sim.hunt.hunting import HuntBounds, carry_out
from dcompute_sim.interfaces.world import EngineError
from dcompute_sim.micropython.unavailable import EmulatorUnavailable
from dcompute_sim.report.html import html
from dcompute_sim.report.junit import told_lines
from dcompute_sim.report.run_report import RunReport, replay_command
from dcompute_sim.run import RunOptions, RunOutcome, run_scenario
from dcompute_sim.scenario import Scenario, ScenarioError, check, find, load_all
from dcompute_sim.scenario.locate import map_beside
from dcompute_sim.scenario.write import to_yaml
from dcompute_sim.shrink import story
from dcompute_sim.shrink.search import NothingToShrink, Search
from dcompute_sim.yamlfile.units import parse_duration

_WORDS = {Status.FAILED: "did not hold", Status.INCONCLUSIVE: "was not put to the test"}


class NotHeld(AssertionError):
    """An expectation that did not hold; the message says which, what happened and how to repeat it."""


class CannotRun(RuntimeError):
    """The scenario cannot be run here; the message says why."""


@dataclass(frozen=True)
class _Finding:
    """One judged expectation, in words."""

    held: bool
    text: str


class ScenarioFile(pytest.File):
    """A scenario file; one run for each combination of its matrix and each seed asked for."""

    def collect(self) -> Iterator[pytest.Collector | pytest.Item]:
        seeds = self.config.getoption("dcompute_seeds")
        try:
            scenarios = load_all(self.path)
        except ScenarioError as error:
            raise self.CollectError(str(error)) from None
        for scenario in scenarios:
            variation = scenario.name if len(scenarios) > 1 else ""
            for seed in parsed_seeds(seeds) if seeds else (None,):
                name = scenario.name if seed is None else f"{scenario.name} seed {seed}"
                yield ScenarioRun.of(self, name, scenario, variation, seed)
            if self.config.getoption("dcompute_hunt") and scenario.random is not None:
                hunted: HuntItem = HuntItem.from_parent(self, name=f"{scenario.name} hunted")
                hunted.scenario = scenario
                hunted.add_marker(pytest.mark.dcompute)
                yield hunted


class ScenarioRun(pytest.Collector):
    """One run of one scenario."""

    scenario: Scenario
    options: RunOptions
    _findings: list[_Finding] | None = None
    _error: Exception | None = None

    @classmethod
    def of(
        cls, parent: ScenarioFile, name: str, scenario: Scenario, variation: str, seed: int | None
    ) -> ScenarioRun:
        """Return the run of `scenario` with `seed`; None for its own."""
        run: ScenarioRun = cls.from_parent(parent, name=name)
        run.scenario = scenario
        run.options = RunOptions(
            reference=_short(parent.path, parent.config),
            variation=variation,
            seed=seed,
            boards=map_beside(parent.path),
        )
        run.add_marker(pytest.mark.dcompute)
        if scenario.time == "real":
            run.add_marker(pytest.mark.dcompute_real)
        return run

    def collect(self) -> Iterator[pytest.Item]:
        per = self.config.getoption("dcompute_one_per") or self.config.getini("dcompute_one_per")
        if per == "scenario":
            yield Expectation.from_parent(self, name="holds")
            return
        names: dict[str, int] = {}
        for index, entry in enumerate(self.scenario.expect):
            label = label_of(entry)
            names[label] = names.get(label, 0) + 1
            item = Expectation.from_parent(
                self, name=label if names[label] == 1 else f"{label} {names[label]}"
            )
            item.index = index
            yield item
        item = Expectation.from_parent(self, name="the run itself")
        item.index = len(self.scenario.expect)
        yield item

    def findings(self) -> list[_Finding]:
        """Return those of each expectation in order, last of the run itself: it ended; boards and faults were
        there."""
        if self._error is not None:
            raise self._error
        if self._findings is None:
            try:
                self._findings = self._run()
            except Exception as error:  # nor is a run repeated that this test or its report could not bear
                self._error = error
                raise
        return self._findings

    def _run(self) -> list[_Finding]:
        outcome = _run(self.scenario, self.options)
        report = _Report(outcome, artefacts_of(self), shrink=self.config.getoption("dcompute_shrink"))
        own = len(self.scenario.expect)
        findings = [report.finding([result]) for result in outcome.verdict.results[:own]]
        return [*findings, report.finding(outcome.verdict.results[own:])]


class Expectation(pytest.Item):
    """One expectation of a run; without an `index`, all of them."""

    index: int | None = None

    def runtest(self) -> None:
        assert isinstance(self.parent, ScenarioRun)
        findings = self.parent.findings()
        chosen = findings if self.index is None else [findings[self.index]]
        wrong = [finding.text for finding in chosen if not finding.held]
        if wrong:
            raise NotHeld("\n\n".join(wrong))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return the message, which is all there is to say: the place in this file is of no interest."""
        if isinstance(excinfo.value, NotHeld | CannotRun):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        assert self.parent is not None
        return self.path, None, f"{self.parent.name}: {self.name}"


class HuntItem(pytest.Item):
    """A search through the ranges of a scenario (`dcompute hunt`), for as long as --dcompute-hunt says."""

    scenario: Scenario

    def runtest(self) -> None:
        hunt = Hunt(self.scenario)
        for_s = parsed_time(self.config.getoption("dcompute_hunt"))
        options = RunOptions(reference=_short(self.path, self.config))
        try:
            carry_out(hunt, options, HuntBounds(for_s=for_s))
        except (EngineError, BrokerError, EmulatorUnavailable) as error:
            raise CannotRun(f"{self.scenario.name} cannot be run here: {error}") from None
        if hunt.undecided == hunt.runs:
            raise NotHeld(f"none of {number_of(hunt.runs, 'run')} was put to the test")
        if hunt.findings:
            raise NotHeld("\n\n".join(self._told(finding, options) for finding in hunt.findings))

    def _told(self, finding: Finding, options: RunOptions) -> str:
        path = artefacts_of(self, f"run {finding.number}") / "found.yaml"
        told = f"{finding.failure.label} did not hold: {finding.failure.summary}"
        try:
            write_finding(finding, options, path)
            small = path.with_name("shrunk.yaml")
            if self.config.getoption("dcompute_shrink"):
                return f"{told}\nAgain: dcompute run {path}{_shrunk(finding.scenario, options, small)}"
        except OSError as error:
            return f"{told}\nIts scenario cannot be written: {error}"
        return f"{told}\nAgain: dcompute run {path}"

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, NotHeld | CannotRun):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, self.name


class RunInTest:
    """The `scenario` fixture: run a scenario, and fail the test when it does not hold.

    def test_a_crash_is_named(scenario):
        outcome = scenario("stale_will", overrides=["fleet.py.count=20"])
        assert len(outcome.trace) > 100
    """

    def __init__(self, node: pytest.Item, seed: int | None) -> None:
        self._node = node
        self._seed = seed
        self._runs = 0

    def __call__(
        self,
        source: str | Path | Scenario,
        *,
        overrides: Sequence[str] = (),
        held: bool = True,
        **options: Any,
    ) -> RunOutcome:
        """Run one scenario and give its outcome.

        Args:
            source: a file, the name of a shipped scenario, or a `Scenario` built in code.
            overrides: as `--set`; for files.
            held: False leaves it to the test to look at the verdict.
            options: of `dcompute_sim.RunOptions`: seed, time, broker, mutants...

        Raises:
            NotHeld: an expectation failed, or was not put to the test.
            ScenarioError: the scenario makes no sense.
            CannotRun: something it needs is missing on this machine.
        """
        self._runs += 1
        folder = artefacts_of(self._node, f"run {self._runs}")
        if isinstance(source, Scenario):
            check(source)
            scenario, reference = source, str(folder / "scenario.yaml")
        else:
            (scenario,) = load_all(find(source), overrides)
            reference = str(source)
        chosen = RunOptions(reference=reference, overrides=tuple(overrides), seed=self._seed)
        outcome = _run(scenario, replace(chosen, **options))
        if held and outcome.verdict.status is not Status.HELD:
            if isinstance(source, Scenario):
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "scenario.yaml").write_text(to_yaml(source), encoding="utf-8")
            shrink = self._node.config.getoption("dcompute_shrink")
            raise NotHeld(_Report(outcome, folder, shrink=shrink).finding(outcome.verdict.results).text)
        return outcome


class _Report:
    """Tells what did not hold in a run; leaves trace and page behind, once, and on request a smaller run."""

    def __init__(self, outcome: RunOutcome, folder: Path, *, shrink: bool) -> None:
        replay = replay_command(outcome.trace.started)
        self._run = RunReport(
            outcome.trace.events, outcome.verdict, replay, outcome.wall_s, outcome.scenario.description
        )
        self._left = f"See:   {folder / 'report.html'}, trace.jsonl"
        if outcome.verdict.status is Status.HELD:
            return
        try:
            outcome.trace.write(folder / "trace.jsonl")
            (folder / "report.html").write_text(html(self._run), encoding="utf-8")
            if shrink and outcome.verdict.status is Status.FAILED:
                self._left += _shrunk(outcome.scenario, outcome.options, folder / "shrunk.yaml")
        except OSError as error:  # the run is judged all the same
            self._left = f"Trace and report cannot be written: {error}"

    def finding(self, results: Sequence[Result]) -> _Finding:
        """Say what did not hold of these."""
        wrong = [result for result in results if result.outcome.status is not Status.HELD]
        if not wrong:
            return _Finding(True, "")
        lines = []
        for result in wrong:
            outcome = result.outcome
            lines.append(f"{result.label} {_WORDS[outcome.status]}: {outcome.summary}")
            lines += [f"    {line}" for line in told_lines(self._run, result)]
        lines += [f"Again: {self._run.replay}", self._left]
        return _Finding(False, "\n".join(lines))


def _shrunk(scenario: Scenario, options: RunOptions, path: Path) -> str:
    """Write the run as small as it can be made; what to say of that."""
    try:
        story.write(Search(scenario, options).run(), path)
    except NothingToShrink as error:
        return f"\nNot shrunk: {error}"
    return f"\nSmall: dcompute run {path}"


def _run(scenario: Scenario, options: RunOptions) -> RunOutcome:
    try:
        return run_scenario(scenario, options)
    except (EngineError, BrokerError, EmulatorUnavailable) as error:
        raise CannotRun(f"{scenario.name} cannot be run here: {error}") from None


def artefacts_of(node: pytest.Item | pytest.Collector, more: str = "") -> Path:
    """Return the folder for what a failed run leaves behind."""
    config = node.config
    base = Path(config.getoption("dcompute_artefacts") or config.getini("dcompute_artefacts"))
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{node.nodeid} {more}").strip("-")
    return config.rootpath / base / name


def parsed_seeds(text: str) -> range:
    """Return `1..20` as numbers; a usage error when it is none."""
    try:
        return parse_seeds(text)
    except ValueError as error:
        raise pytest.UsageError(f"--dcompute-seeds: {error}") from None


def parsed_time(text: str) -> float:
    """Return `1min` in seconds; a usage error when it is no duration."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise pytest.UsageError(f"--dcompute-hunt: {error}") from None


def _short(path: Path, config: pytest.Config) -> str:
    """Return the path as a user would write it."""
    here = config.invocation_params.dir
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
