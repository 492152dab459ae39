"""The scenarios a command line means: files, folders, shipped ones by name, combinations of a matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from dcompute_sim.run import RunOptions
from dcompute_sim.scenario import Scenario, find, load_all, shipped
from dcompute_sim.scenario.locate import map_beside, scenario_files
from dcompute_sim.trace import RunStarted


@dataclass(frozen=True)
class SelectedScenario:
    """A scenario to run.

    Args:
        reference: how the user named it.
        path: its file.
        variation: which combination of its matrix it is; "" without one.
    """

    reference: str
    path: Path
    scenario: Scenario
    variation: str = ""

    @property
    def label(self) -> str:
        """How the user asked for it."""
        return self.variation or self.reference

    def boards(self, given: Path | None) -> Path | None:
        """Return its hardware map: the one given, else the one beside it, if there is one."""
        return given or map_beside(self.path)


def find_entries(names: Sequence[str], overrides: Sequence[str], only: str = "") -> list[SelectedScenario]:
    """Return the scenarios meant. `only`: a single combination of a matrix, by its name."""
    if not names:
        raise typer.BadParameter(f"name a scenario, such as {min(shipped())}")
    entries = []
    for name in names:
        path = Path(name)
        files = scenario_files(path) if path.is_dir() else [find(name)]
        if not files:
            raise typer.BadParameter(f"no scenario (*.yaml) in {name}")
        for file in files:
            scenarios = load_all(file, overrides)
            reference = str(file) if path.is_dir() else name
            entries += [
                SelectedScenario(reference, file, s, s.name if len(scenarios) > 1 else "") for s in scenarios
            ]
    if not only:
        return entries
    chosen = [entry for entry in entries if entry.variation == only]
    if not chosen:
        known = ", ".join(entry.variation for entry in entries if entry.variation) or "no matrix"
        raise typer.BadParameter(f"no combination {only!r}; there is: {known}", param_hint="--only")
    return chosen


def entry_of(started: RunStarted) -> SelectedScenario:
    """Return the scenario that a trace was made with."""
    return find_entries([started.scenario], started.overrides, started.variation)[0]


def options_of(started: RunStarted) -> RunOptions:
    """Return the options that a trace was made with."""
    return RunOptions(
        reference=started.scenario,
        variation=started.variation,
        time=started.time,
        target=started.target or None,
        broker=started.broker,
        seed=started.seed,
        mutants=tuple(started.mutants),
        overrides=tuple(started.overrides),
    )
