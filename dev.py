#!/usr/bin/env python3
"""Runs the project from a fresh checkout on a machine that has Python 3.11 or newer and nothing else.

    python3 dev.py run quickstart      # any `dcompute` command
    python3 dev.py test [PYTEST ARGS]  # linters, types and the whole test suite
    python3 dev.py audit               # known faults of what is installed; says so where it cannot be asked

Makes the virtual environment `.venv` beside this file, and again when pyproject.toml has changed. What is no
Python package (mosquitto, tshark, Chromium: for the tests only) comes from Debian's archive. Only the
standard library is used here.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".venv"
PYTHON = ENVIRONMENT / "bin" / "python"
MISSING = 3
PIP_AUDIT = "2.10.1"  # raised by hand: what judges the others is not taken as it comes
TEST_PROGRAMS = {"mosquitto": "mosquitto", "tshark": "tshark", "chromium": "chromium"}
SYSTEM_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])


def main() -> int:
    if sys.version_info < (3, 11):  # noqa: UP036 - run by whatever Python there is
        return stop(f"Python 3.11 or newer is needed; this is {sys.version.split()[0]}")
    words = sys.argv[1:]
    if not words or words[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    if words[0] == "audit":
        prepare("sim")
        return audit()
    if words[0] != "test":
        prepare("sim")
        return call(str(ENVIRONMENT / "bin" / "dcompute"), *words)
    os.chdir(ROOT)
    prepare("test")
    provide_programs()
    return test(words[1:])


def test(arguments: list[str]) -> int:
    """Linters first: they are quick. Three workers keep two cores at work: tests in real time mostly wait."""
    checks = [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]]
    if not arguments:
        for check in checks:
            status = call(str(PYTHON), "-m", *check)
            if status:
                return status
    return call(str(PYTHON), "-m", "pytest", *(arguments or ["-n", "3"]))


def audit() -> int:
    """Whether known faults are in what is installed, by pip-audit, which has an environment of its own so
    that it cannot change what it looks at. Without a network nobody can be asked: that is said, and is no
    failure."""
    own = ENVIRONMENT.with_name(".venv-audit")
    if not (own / "bin" / "pip-audit").exists():
        venv.create(own, with_pip=True, symlinks=True, clear=True)
    install = [str(own / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*install, f"pip-audit=={PIP_AUDIT}"], capture_output=True, text=True)
    if done.returncode:
        return skipped(f"pip-audit {PIP_AUDIT} cannot be installed here: {last_line(done.stderr)}")
    freeze = [str(PYTHON), "-m", "pip", "freeze", "--disable-pip-version-check", "--exclude-editable"]
    installed = subprocess.run(freeze, check=True, capture_output=True, text=True).stdout
    with tempfile.TemporaryDirectory() as scratch:
        listed = Path(scratch) / "installed.txt"
        listed.write_text("".join(line + "\n" for line in installed.splitlines() if "==" in line))
        options = [
            "--no-deps",
            "--disable-pip",
            "--progress-spinner",
            "off",
            "--format",
            "json",
            "-r",
            str(listed),
        ]
        done = subprocess.run(
            [str(own / "bin" / "pip-audit"), *options],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
    return told(done.stdout, done.stderr)


def told(answer: str, errors: str) -> int:
    """Say what pip-audit has answered, if it has: it ends alike with a fault found and with nobody to ask."""
    try:
        listed = json.loads(answer)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return skipped(last_line(errors))
    packages = [package for package in listed if "skip_reason" not in package]
    if not packages:
        return skipped(listed[0]["skip_reason"] if listed else "nothing is installed")
    faults = [
        f"{package['name']} {package['version']}: {fault['id']}, mended in "
        + (", ".join(fault["fix_versions"]) or "no version yet")
        for package in packages
        for fault in package["vulns"]
    ]
    for fault in faults:
        say(fault)
    not_asked = f", {len(listed) - len(packages)} nobody knows" if len(packages) < len(listed) else ""
    say(f"audit: {len(faults)} known faults in {len(packages)} packages{not_asked}")
    return 1 if faults else 0


def skipped(why: str) -> int:
    say(f"audit SKIPPED, nothing is known: {why}")
    return 0


def last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[-1][:300]


def prepare(extra: str) -> None:
    """The virtual environment with this project and the extra's packages in it."""
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    stamp = ENVIRONMENT / f".dcompute-{extra}"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    if not PYTHON.exists():
        make_environment()
    say(f"installing the project with its `{extra}` packages into {ENVIRONMENT.name}")
    run(str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-e", f".[{extra}]")
    stamp.write_text(wanted)


def make_environment() -> None:
    """Debian's bare python3 has neither ensurepip nor pip; its archive has both."""
    say(f"making {ENVIRONMENT.name}")
    if importlib.util.find_spec("ensurepip") is not None:
        venv.create(ENVIRONMENT, with_pip=True, symlinks=True, clear=True)
        return
    venv.create(ENVIRONMENT, with_pip=False, symlinks=True, clear=True)
    with tempfile.TemporaryDirectory() as scratch:
        run(str(PYTHON), str(pip_wheel(Path(scratch)) / "pip"), "install", "--quiet", "pip")


def pip_wheel(scratch: Path) -> Path:
    """pip as a wheel out of Debian's package of it, which needs no root to download and unpack."""
    if shutil.which("apt-get") is None:
        raise SystemExit(stop("this Python has no ensurepip: install its venv package, then try again"))
    if subprocess.run(
        ["apt-get", "download", "python3-pip-whl"], cwd=scratch, capture_output=True
    ).returncode:
        if os.geteuid():
            raise SystemExit(stop("run `sudo apt-get update` once, or install python3-venv, then try again"))
        run("apt-get", "-qq", "update")
        run("apt-get", "-qq", "download", "python3-pip-whl", cwd=scratch)
    package = next(scratch.glob("python3-pip-whl*.deb"))
    run("dpkg-deb", "-x", str(package), str(scratch))
    return next((scratch / "usr/share/python-wheels").glob("pip-*.whl"))


def provide_programs() -> None:
    """What the tests need beside Python packages. MicroPython is fetched by the emulator itself."""
    missing = [
        package for program, package in TEST_PROGRAMS.items() if not shutil.which(program, path=SYSTEM_PATH)
    ]
    if not missing:
        return
    install = ["apt-get", "-qq", "install", "--yes", "--no-install-recommends", *missing]
    by_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if shutil.which("apt-get") is None or (by_root and not shutil.which("sudo")):
        raise SystemExit(stop(f"the tests need {', '.join(missing)}: install them, then try again"))
    say(f"installing {', '.join(missing)} for the tests")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "-qq", "update"], install):
        done = subprocess.run(
            [*by_root, *command], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        if done.returncode:
            raise SystemExit(stop(f"`{' '.join(command)}` failed: install {', '.join(missing)} by hand"))


def run(*command: str, cwd: Path = ROOT) -> None:
    """Run a command that must succeed."""
    done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise SystemExit(stop(f"`{' '.join(command)}` failed with status {done.returncode}"))


def call(*command: str) -> int:
    """Run a command and take over its exit status."""
    try:
        return subprocess.run(command).returncode
    except KeyboardInterrupt:
        return 130


def say(text: str) -> None:
    print(f"dev.py: {text}", file=sys.stderr, flush=True)


def stop(text: str) -> int:
    say(text)
    return MISSING


if __name__ == "__main__":
    sys.exit(main())
