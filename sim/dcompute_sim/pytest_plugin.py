"""The pytest plugin: scenarios as tests.

This part is loaded by every pytest where dcompute is installed, so it imports nothing; what runs scenarios is
in pytest_items.py, loaded when there is one.

    pytest --dcompute-dir scenarios -n 2      every *.yaml there, one test per expectation
    pytest night.scenario.yaml                files of this name are tests wherever pytest meets them
    def test_it(scenario): scenario("stale_will", seed=7)
"""

from __future__ import annotations

import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from dcompute_sim.pytest_items import RunInTest, ScenarioFile

_HARDWARE_MAP = "boards.yaml"  # beside scenarios, and none itself (dcompute_sim.scenario.locate.MAP_FILE)
_ENDINGS = (".scenario.yaml", ".scenario.yml")
_FOLDERS = pytest.StashKey[list[Path]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Define options and ini settings."""
    group = parser.getgroup("dcompute", "scenarios of distributed computing (dcompute)")
    group.addoption(
        "--dcompute-dir",
        action="append",
        default=[],
        metavar="DIR",
        help="Collect every *.yaml in this folder as a scenario; without other arguments, nothing else.",
    )
    group.addoption(
        "--dcompute-seeds",
        metavar="1..20",
        help="Run each scenario with each of these seeds instead of its own.",
    )
    group.addoption(
        "--dcompute-one-per",
        choices=("expectation", "scenario"),
        help="One test per expectation (they share the run), or one per scenario.",
    )
    group.addoption(
        "--dcompute-artefacts",
        metavar="DIR",
        help="Where trace and report of a run that did not hold are left (dcompute-artefacts).",
    )
    group.addoption(
        "--dcompute-shrink",
        action="store_true",
        help="Shrink runs that failed: leave shrunk.yaml, a small scenario that fails alike, with the trace.",
    )
    group.addoption(
        "--dcompute-hunt",
        metavar="1min",
        help="Besides, search the ranges of each scenario with `random` for so long for runs that fail.",
    )
    parser.addini("dcompute_scenarios", "Files to collect as scenarios: paths or patterns.", type="args")
    parser.addini("dcompute_one_per", "As --dcompute-one-per.", default="expectation")
    parser.addini("dcompute_artefacts", "As --dcompute-artefacts.", default="dcompute-artefacts")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Define markers, and look at the folders and files that were named besides or instead of `testpaths`."""
    config.addinivalue_line("markers", "dcompute: an expectation of a scenario, or a whole one")
    config.addinivalue_line("markers", "dcompute_real: the same, of a scenario that runs in real time")
    if config.getoption("dcompute_seeds"):
        from dcompute_sim.pytest_items import parsed_seeds

        parsed_seeds(config.getoption("dcompute_seeds"))
    if config.getoption("dcompute_hunt"):
        from dcompute_sim.pytest_items import parsed_time

        parsed_time(config.getoption("dcompute_hunt"))
    config.stash[_FOLDERS] = _folders(config)
    folders = [str(folder) for folder in config.stash[_FOLDERS]]
    named = _named(config)
    if not folders and not named:
        return
    if config.args_source is config.ArgsSource.ARGS:
        wanted = folders
    elif folders:
        config.args = wanted = folders
    else:
        wanted = named
    # Two spellings of one path would be collected twice; xdist hands its workers what is here.
    config.args = [*config.args, *(path for path in wanted if path not in config.args)]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Keep, under `xdist -n`, all tests of a run on the worker that has run it, the others spread as ever."""
    if config.getoption("dist") != "load" or not (config.stash[_FOLDERS] or _named(config)):
        return None
    from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

    class RunsTogether(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file, *inner = nodeid.split("::")
            return "::".join([file, *inner[:1]]) if file.endswith((".yaml", ".yml")) else nodeid

    return RunsTogether(config, log)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> ScenarioFile | None:
    """Collect scenario files: by their ending, by folder, by the ini file, or because they were asked for by
    name."""
    if file_path.suffix not in (".yaml", ".yml") or not _is_scenario(file_path, parent):
        return None
    from dcompute_sim.pytest_items import ScenarioFile

    return ScenarioFile.from_parent(parent, path=file_path)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that uses `scenario` once with every seed of --dcompute-seeds."""
    seeds = metafunc.config.getoption("dcompute_seeds")
    if seeds and "scenario_seed" in metafunc.fixturenames:
        from dcompute_sim.pytest_items import parsed_seeds

        metafunc.parametrize("scenario_seed", parsed_seeds(seeds), ids="seed {}".format, indirect=True)


@pytest.fixture
def scenario_seed(request: pytest.FixtureRequest) -> int | None:
    """Return the seed of this run; None for the scenario's own."""
    seed: int | None = getattr(request, "param", None)
    return seed


@pytest.fixture
def scenario(request: pytest.FixtureRequest, scenario_seed: int | None) -> RunInTest:
    """Run scenarios and fail the test when one does not hold; see `dcompute_sim.pytest_items.RunInTest`."""
    from dcompute_sim.pytest_items import RunInTest

    return RunInTest(request.node, scenario_seed)


def _folders(config: pytest.Config) -> list[Path]:
    base = config.invocation_params.dir
    folders = [(base / folder).resolve() for folder in config.getoption("dcompute_dir")]
    for folder in folders:
        if not folder.is_dir():
            raise pytest.UsageError(f"--dcompute-dir: there is no folder {folder}")
    return folders


def _named(config: pytest.Config) -> list[str]:
    """Return the files that the ini setting means."""
    patterns: list[str] = config.getini("dcompute_scenarios")
    return [str(path) for pattern in patterns for path in sorted(config.rootpath.glob(pattern))]


def _is_scenario(path: Path, parent: pytest.Collector) -> bool:
    config = parent.config
    return (
        path.name.endswith(_ENDINGS)
        or parent.session.isinitpath(path)
        or (path.name != _HARDWARE_MAP and (path.parent in config.stash[_FOLDERS] or _matches(path, config)))
    )


def _matches(path: Path, config: pytest.Config) -> bool:
    if not path.is_relative_to(config.rootpath):
        return False
    relative = path.relative_to(config.rootpath).as_posix()
    return any(fnmatch.fnmatch(relative, pattern) for pattern in config.getini("dcompute_scenarios"))
