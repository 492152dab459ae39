"""One digest from ten runs in ten processes, on this interpreter and on every other that can be had.

    python -m benchmarks.interpreters [INTERPRETER ...]

Without names: Debian's 3.13, fetched privately and verified (`micropython/debian.py`), so that on a
Debian machine there always is another one; and each CPython from 3.11 on that PATH or pyenv has and that
truly starts, one of each other minor version. None gets an environment: pure Python is read from this
interpreter's, and only the compiled libraries are fetched in its own build, once, into the user's cache.

Every process hashes differently. Each runs some seeds of the swarm. Exit status 1 when the
digests are not all one, 3 when there was no second interpreter.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs
from dcompute_sim.micropython import cache, debian
from dcompute_sim.micropython.unavailable import EmulatorUnavailable

RUNS = 10
OLDEST = (3, 11)
COMPILED = ("msgspec", "pydantic-core")  # of what a virtual run imports
_PROJECT = Path(__file__).parents[1]
_CACHE = platformdirs.user_cache_path("dcompute") / "interpreters"
_DEBIAN = "debian"
_VERSION = "import sys; print(sys.implementation.name, *sys.version_info[:3])"
_RUN = """
import hashlib
from dcompute_sim.run import RunOptions, run_scenario
from dcompute_sim.scenario import find, load_all

digests = hashlib.sha256()
scenario = load_all(find("swarm"))[0]
for seed in range(1, 4):
    outcome = run_scenario(scenario, RunOptions(time="virtual", broker="model", seed=seed))
    digests.update(outcome.trace.digest().encode())
print(digests.hexdigest()[:16])
"""


@dataclass(frozen=True)
class Interpreter:
    """A CPython that starts. `origin`: where it was found, for people to read."""

    argv: tuple[str, ...]
    version: tuple[int, int, int]
    origin: str
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """As in `3.13.5`."""
        return ".".join(map(str, self.version))


class Unfit(Exception):
    """This interpreter cannot take part; the message says why."""


def started(argv: Sequence[str], origin: str, environment: dict[str, str] | None = None) -> Interpreter:
    """The interpreter that `argv` starts. Raises Unfit."""
    environment = environment or {}
    try:
        done = subprocess.run(
            [*argv, "-c", _VERSION],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        name, *numbers = done.stdout.split()
        major, minor, patch = map(int, numbers)
    except (OSError, ValueError, subprocess.SubprocessError):
        raise Unfit(f"{origin}: does not start") from None
    if name != "cpython" or (major, minor) < OLDEST:
        raise Unfit(f"{origin}: {name} {major}.{minor}, not CPython from {OLDEST[0]}.{OLDEST[1]} on")
    return Interpreter(tuple(argv), (major, minor, patch), origin, environment)


def candidates() -> Iterator[str]:
    """Where other interpreters may be: on PATH, and among pyenv's, whose shims on PATH often lead nowhere."""
    for minor in range(OLDEST[1], sys.version_info.minor + 6):
        found = shutil.which(f"python{OLDEST[0]}.{minor}")
        if found:
            yield found
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from map(str, sorted(root.glob("versions/3.1[1-9].*/bin/python")))


def debians() -> Interpreter:
    """Debian's own, through the dynamic linker and the libraries it came with. Raises Unfit."""
    try:
        entry = cache.obtain(
            _CACHE,
            "debian-3.13",
            lambda root: debian.unpack(["python3.13-minimal", "libpython3.13-stdlib"], root),
        )
    except (EmulatorUnavailable, OSError) as error:
        raise Unfit(f"Debian's python3.13: {error}") from None
    linker = next(iter((entry / "usr/lib").rglob("ld-linux*.so.*"))).resolve()
    argv = (str(linker), "--library-path", str(linker.parent), str(entry / "usr/bin/python3.13"))
    return started(argv, f"Debian {debian.SUITE}, private", {"PYTHONHOME": str(entry / "usr")})


def libraries(version: tuple[int, int, int]) -> Path:
    """The folder with the compiled libraries, built for this version. Raises Unfit where there are none."""
    minor = f"{version[0]}.{version[1]}"
    wanted = [f"{name}=={importlib.metadata.version(name)}" for name in COMPILED]
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--python-version", minor]

    def build(entry: Path) -> None:
        pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--target", str(entry)]
        subprocess.run([*pip, *options, *wanted], check=True, capture_output=True, text=True)

    try:
        return cache.obtain(_CACHE, "-".join([minor, *wanted]), build)
    except subprocess.CalledProcessError as error:
        told = error.stderr.strip().splitlines() or ["pip failed"]
        raise Unfit(f"Python {minor}: {' and '.join(wanted)} cannot be had for it ({told[-1]})") from None


def equipped(other: Interpreter) -> Interpreter:
    """It can import the project. Raises Unfit."""
    path = [libraries(other.version), _PROJECT / "sim", _PROJECT, sysconfig.get_path("purelib")]
    environment = other.environment | {"PYTHONPATH": os.pathsep.join(map(str, path))}
    return Interpreter(other.argv, other.version, other.origin, environment)


def found(names: Sequence[str]) -> tuple[list[Interpreter], list[str]]:
    """This interpreter and the others, one of a minor version unless named; and why some take no part."""
    taking_part = [Interpreter((sys.executable,), sys.version_info[:3], "this one")]
    refused = []
    for path in names or [_DEBIAN, *candidates()]:
        try:
            other = debians() if path == _DEBIAN else started([path], path)
            if names or all(other.version[:2] != known.version[:2] for known in taking_part):
                taking_part.append(equipped(other))
        except Unfit as why:
            refused.append(str(why))
    return taking_part, refused


def digest(interpreter: Interpreter, hash_seed: int) -> str:
    """Of the runs in a process of it."""
    settings = {
        "PYTHONHASHSEED": str(hash_seed),
        "PYTHONDONTWRITEBYTECODE": "",  # or each process would compile all it imports
        "PYTHONPYCACHEPREFIX": str(_CACHE / "bytecode"),
    }
    environment = os.environ | interpreter.environment | settings
    argv = [*interpreter.argv, "-c", _RUN]
    return subprocess.run(
        argv, cwd=_PROJECT, env=environment, check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip()


def main(names: Sequence[str]) -> int:
    """Run, compare, say so; the exit status."""
    interpreters, refused = found(names)
    for why in refused:
        print(f"takes no part: {why}")
    turns = [interpreters[number % len(interpreters)] for number in range(RUNS)]
    with ThreadPoolExecutor(os.cpu_count()) as side_by_side:
        digests = list(side_by_side.map(digest, turns, range(RUNS)))
    for number, (interpreter, seen) in enumerate(zip(turns, digests, strict=True), 1):
        print(f"run {number:>2}  Python {interpreter.name:<8}  {seen}  {interpreter.origin}")
    different = len(set(digests))
    versions = ", ".join(interpreter.name for interpreter in sorted(interpreters, key=lambda i: i.version))
    if different > 1:
        print(f"{different} different digests on Python {versions}")
        return 1
    print(f"one digest on Python {versions}")
    return 0 if len(interpreters) > 1 else 3


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
