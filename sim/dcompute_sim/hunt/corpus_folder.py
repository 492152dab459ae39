"""A corpus on disk: a folder of scenario files, one for each run that is worth breeding from.

A file is named by what it says, so that folders of several machines are put together by copying. What its run
shows is not written down: the program may have changed since, so a hunt runs them first and sees.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from dcompute_sim.scenario import Scenario, ScenarioError
from dcompute_sim.scenario.files import load
from dcompute_sim.scenario.write import to_yaml
from dcompute_sim.whole_file import write_whole

_DIGITS = 16


def read_corpus(folder: Path) -> tuple[list[Scenario], list[str]]:
    """Return the scenarios in a folder, in the order of their names, and what is wrong with the files that
    are none.

    Raises:
        OSError: the folder cannot be made or read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scenarios, wrong = [], []
    for path in sorted(folder.glob("*.yaml")):
        try:
            scenarios.append(load(path))
        except ScenarioError as error:
            wrong.append(str(error))
    return scenarios, wrong


def keep(folder: Path, scenario: Scenario) -> None:
    """Write one down, if it is not there yet.

    Raises:
        OSError: it cannot be written.
    """
    text = to_yaml(scenario)
    path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]}.yaml"
    if not path.exists():
        write_whole(path, text.encode())
