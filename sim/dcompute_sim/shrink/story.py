"""The file of a shrunk run: an explicit scenario, headed by its story, ready as a regression test."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from dcompute.parts import number_of
from dcompute_sim.mutants.catalogue import FIRMWARE, FOREIGN, MASTER, MUTANTS
from dcompute_sim.output_files import write_output
from dcompute_sim.run import RunOptions, run_scenario
from dcompute_sim.scenario import Scenario, load
from dcompute_sim.scenario.explain import explain
from dcompute_sim.scenario.write import to_yaml
from dcompute_sim.shrink.failure import Failure, failures
from dcompute_sim.shrink.search import Shrunk, size

_WIDTH = 100


def write(shrunk: Shrunk, path: Path) -> bool:
    """Write the file, and run it: whether it fails for the same reason, from the file alone.

    Args:
        path: of the file; its folder is made if need be.

    Raises:
        OutputError: it cannot be written.
    """
    original = shrunk.original
    mutants = "".join(f", mutant {mutant}" for mutant in shrunk.options.mutants)
    named = shrunk.scenario.model_copy(
        update={
            "name": f"{original.name}-{original.seed}",
            "description": f"Shrunk from {original.name}, seed {original.seed}{mutants}.",
        }
    )
    was = f"{size(original)}; {number_of(shrunk.runs, 'run')} made this of it."
    return write_failing(named, shrunk.options, shrunk.failure, path, {"Was": was})


def write_failing(
    scenario: Scenario, options: RunOptions, failure: Failure, path: Path, told: Mapping[str, str]
) -> bool:
    """Write an explicit scenario that fails, headed by how, and run it from the file alone.

    Args:
        failure: what it is known to fail of.
        path: of the file; its folder is made if need be.
        told: more lines for its header, by their headings.

    Returns:
        Whether it failed for the same reason.

    Raises:
        OutputError: it cannot be written.
    """
    scenario, left = self_contained(scenario, options)
    command = " ".join(["dcompute run", str(path), *(f"--mutant {mutant}" for mutant in left.mutants)])
    first, _, rest = to_yaml(scenario).partition("\n")
    write_output(path, f"{first}\n{rest}")
    verdict = run_scenario(load(path), RunOptions(mutants=left.mutants)).verdict
    alike = [found for found in failures(verdict) if failure.same_as(found)]
    failed = (alike or [failure])[0]
    rows = {"Fails": f"{failed.label}: {failed.summary}", **told, "Run it": command}
    write_output(path, f"{first}\n{_header(rows, scenario)}{rest}")
    return bool(alike)


def self_contained(scenario: Scenario, options: RunOptions) -> tuple[Scenario, RunOptions]:
    """Say in the scenario what the options said over it: time, broker, and the mutant if there is one.

    Returns:
        The scenario, and the options that are still needed.
    """
    said = {"time": options.time or scenario.time, "broker": options.broker or scenario.broker}
    scenario = scenario.model_copy(update=said)
    options = replace(options, time=None, broker=None, seed=None)
    taken = [group.variant for group in scenario.fleet.values()] + [scenario.master.variant]
    if len(options.mutants) != 1 or any(taken):
        return scenario, options
    (mutant,) = options.mutants
    reaches = MUTANTS[mutant].reaches
    fleet = {
        name: group.model_copy(update={"variant": mutant})
        if (FOREIGN if group.kind == FIRMWARE and group.files is not None else group.kind) in reaches
        else group
        for name, group in scenario.fleet.items()
    }
    master = scenario.master.model_copy(update={"variant": mutant} if MASTER in reaches else {})
    return scenario.model_copy(update={"fleet": fleet, "master": master}), replace(options, mutants=())


def default_path(shrunk: Shrunk, folder: Path) -> Path:
    """Return where the file goes when nobody says."""
    return folder / f"{shrunk.original.name}-{shrunk.original.seed}-shrunk.yaml"


def _header(rows: Mapping[str, str], scenario: Scenario) -> str:
    lines = [""]
    for heading, text in rows.items():
        lines += textwrap.wrap(
            text,
            _WIDTH,
            initial_indent=f"{heading + ':':<13}",
            subsequent_indent=" " * 13,
            break_long_words=False,
            break_on_hyphens=False,
        )
    lines += ["", *explain(scenario).splitlines()]
    return "".join(f"# {line}".rstrip() + "\n" for line in lines)
