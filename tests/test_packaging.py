"""A built wheel works as the checkout does: what it needs travels with it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's contents in a folder of their own, away from the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder)]
    subprocess.run([*build, str(ROOT)], check=True, timeout=240)
    (wheel,) = folder.glob("*.whl")
    site = folder / "site"
    zipfile.ZipFile(wheel).extractall(site)
    return site


def dcompute(installed: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-m", "dcompute", *words]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_its_modules_are_the_wheels_own(installed: Path, tmp_path: Path) -> None:
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            "import dcompute, dcompute_sim; print(dcompute.__file__, dcompute_sim.__file__)",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(Path(name).is_relative_to(installed) for name in told.stdout.split())


def test_a_shipped_scenario_runs_by_name(installed: Path, tmp_path: Path) -> None:
    done = dcompute(installed, tmp_path, "run", "quickstart", "--time", "virtual", "--set", "vars.nodes=40")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "runs" / "quickstart.jsonl").is_file()


def test_firmware_and_shims_travel_with_it(installed: Path, tmp_path: Path) -> None:
    scenario = tmp_path / "boards.yaml"
    scenario.write_text(
        "version: 1\nname: boards\nphases: {work: 8s, quiet: 4s}\n"
        "fleet: {esp: {kind: firmware, count: 2, keepalive: 10s}}\n"
        "workload: [{phase: work, at: 3s, tasks: 4}]\nexpect: [all_tasks_finished]\n"
    )
    done = dcompute(installed, tmp_path, "run", str(scenario))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_licence_travels_with_it(installed: Path) -> None:
    (text,) = installed.glob("dcompute-*.dist-info/licenses/LICENSE")
    assert text.read_text().startswith("MIT License")


def test_schema_and_typing_marks_travel_with_it(installed: Path) -> None:
    assert (installed / "dcompute_sim" / "_data" / "scenarios" / "scenario.schema.json").is_file()
    assert (installed / "dcompute" / "py.typed").is_file()
    assert (installed / "dcompute_sim" / "py.typed").is_file()


def test_production_starts_without_the_testbed(installed: Path, tmp_path: Path) -> None:
    """On a server only paho-mqtt and typer are installed: nothing of sim may be imported."""
    code = (
        "import sys; sys.modules['dcompute_sim'] = None; sys.argv = ['dcompute', 'node', '--help'];"
        "from dcompute.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "--handler" in done.stdout
