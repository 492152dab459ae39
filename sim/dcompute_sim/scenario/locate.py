"""Where scenarios are: a path, or the name of one that ships with the package."""

from __future__ import annotations

from pathlib import Path

from dcompute_sim.yamlfile.problems import Source, Span, choice_hint, fail

MAP_FILE = "boards.yaml"
"""The hardware map beside the scenarios of a folder; a file of this name is no scenario."""

_SIM = Path(__file__).resolve().parent.parent
_FOLDERS = (_SIM / "_data" / "scenarios", _SIM.parent.parent / "scenarios")  # an installed wheel, a checkout


def shipped_folder() -> Path:
    """Return the folder of the scenarios that ship with the package."""
    return next((folder for folder in _FOLDERS if folder.is_dir()), _FOLDERS[-1])


def shipped() -> dict[str, Path]:
    """Return every scenario that ships with the package, by name, sorted."""
    return {path.stem: path for path in scenario_files(shipped_folder())}


def scenario_files(folder: Path) -> list[Path]:
    """Return the scenarios in a folder, sorted."""
    return [path for path in sorted(folder.glob("*.yaml")) if path.name != MAP_FILE]


def map_beside(scenario: Path) -> Path | None:
    """Return the hardware map in the folder of a scenario, if there is one."""
    beside = scenario.with_name(MAP_FILE)
    return beside if beside.is_file() else None


def find(name_or_path: str | Path) -> Path:
    """Return the file meant: a path that exists, else a shipped scenario of that name. Raises
    ScenarioError."""
    path = Path(name_or_path)
    if path.is_file():
        return path
    known = shipped()
    text = str(name_or_path)
    if text in known:
        return known[text]
    where = Span(Source(text, ()), 1, 1)
    if path.is_dir():
        return fail(where, "this is a folder, not a scenario", "name one of its files")
    return fail(where, "no such file, nor a scenario of that name", choice_hint(path.stem, known))
