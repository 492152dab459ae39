"""The examples work as they stand, each as a user would run it: in processes of its own."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dcompute_sim.fwbuild.firmware_files import product

from dcompute.bundle import Bundle

from ..conftest import running

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(*words: object, cwd: Path, path: str = "") -> str:
    """What a program that must succeed prints."""
    environment = {**os.environ, "PATH": path or os.environ["PATH"]}
    if sys.pycache_prefix is None:  # bytecode would be written among the examples
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
    done = subprocess.run(
        list(map(str, words)), cwd=cwd, capture_output=True, text=True, timeout=120, env=environment
    )
    assert done.returncode == 0, f"{words}: {done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def port() -> Iterator[str]:
    """Where a broker listens."""
    with running("-m", "dcompute", "broker", "--kind", "model", "--listen", 0, until="listens on") as line:
        found = re.search(r"127\.0\.0\.1:(\d+)", line)
        assert found is not None
        yield found[1]


def test_master_and_workers(port: str) -> None:
    folder = EXAMPLES / "master_and_workers"
    with contextlib.ExitStack() as workers:
        for _ in range(2):
            worker = running(folder / "worker.py", "127.0.0.1", port, until="is ready")
            workers.enter_context(worker)
        told = run(sys.executable, "master.py", "127.0.0.1", port, cwd=folder)
    assert told == "10 results of 2 workers, sum 285\n"


def test_map_reduce(port: str, tmp_path: Path) -> None:
    folder = EXAMPLES / "map_reduce"
    (tmp_path / "a.txt").write_text("to be or not to be\n" * 1000)
    (tmp_path / "b.txt").write_text("To sleep: perchance to dream\n" * 500)
    where = ("--host", "127.0.0.1", "--port", port)
    with contextlib.ExitStack() as workers:
        for _ in range(2):
            worker = running(folder / "map_reduce.py", "--work", *where, until="is ready")
            workers.enter_context(worker)
        told = run(
            sys.executable, "map_reduce.py", *where, tmp_path / "a.txt", tmp_path / "b.txt", cwd=folder
        )
    counts = {word: int(times) for times, word in re.findall(r"(\d+) (\w+)", told)}
    others = ("with_futures.py", "with_dask.py")
    same = [
        run(sys.executable, other, tmp_path / "a.txt", tmp_path / "b.txt", cwd=folder) for other in others
    ]
    assert same == [told, told]
    assert counts == {
        "to": 3000,
        "be": 2000,
        "or": 1000,
        "not": 1000,
        "sleep": 500,
        "perchance": 500,
        "dream": 500,
    }


def test_a_project_with_packages_of_the_same_names(tmp_path: Path) -> None:
    """Run with the project's root first in the path, as `python -m pytest` has it."""
    project = tmp_path / "greenhouse"
    shutil.copytree(EXAMPLES / "ci_project", project)
    told = run(sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", cwd=project)
    assert "scenarios/night.yaml::night::no_false_deaths PASSED" in told
    assert "tests/test_greenhouse.py::test_a_fleet_as_large_as_ours PASSED" in told
    assert " 8 passed" in told


def test_foreign_firmware(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / "foreign_firmware", tmp_path / "foreign_firmware")
    told = run(
        sys.executable, "-m", "dcompute", "run", "foreign_firmware/reset.yaml", "--plain", cwd=tmp_path
    )
    assert "held: 7 of 7 expectations held" in told


def test_a_fleet_is_deployed(tmp_path: Path) -> None:
    """Takes some seconds: three boards are given 33 files each, restart, and join."""
    folder = tmp_path / "fleet_deploy"
    shutil.copytree(EXAMPLES / "fleet_deploy", folder)
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    for name in ("deploy.sh", "fleet.yaml"):
        text = (folder / name).read_text()
        assert "18830" in text
        (folder / name).write_text(text.replace("18830", str(port)))
    programs = tmp_path / "bin"
    programs.mkdir()
    command = programs / "dcompute"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dcompute "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    told = run(folder / "deploy.sh", cwd=tmp_path, path=f"{programs}:{os.environ['PATH']}")
    files = len(Bundle.from_folder(product()).files) + 1  # and config.py
    for board in ("kiln", "lathe", "saw"):
        assert re.search(rf"^{board}: \w+: ready, {files} files to slot a, launcher$", told, re.M), told
