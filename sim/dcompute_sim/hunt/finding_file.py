"""The file of a finding: the very scenario that failed, ready to be run again."""

from __future__ import annotations

from pathlib import Path

from dcompute_sim.hunt.hunter import Finding
from dcompute_sim.run import RunOptions
from dcompute_sim.shrink.story import write_failing


def write_finding(finding: Finding, options: RunOptions, path: Path) -> bool:
    """Write the file, and run it: whether it fails for the same reason, from the file alone.

    Raises:
        OutputError: it cannot be written.
    """
    scenario = finding.scenario
    told = f"Found by a hunt within {scenario.name}, in its run {finding.number}."
    named = scenario.model_copy(update={"name": path.stem, "description": told})
    return write_failing(named, options, finding.failure, path, {"Found": told})
