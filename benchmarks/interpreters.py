"""One digest from ten runs in ten processes, on this interpreter and others.

    python -m benchmarks.interpreters python3.13 [more interpreters]

Each other interpreter gets a virtual environment with this project in a scratch folder, which takes pip half
a minute; that is why CI does not run this (there the digest written down in `tests/run` is compared, on the
interpreter that CI has). Every process hashes differently. Exit status 1 when the digests are not all one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

RUNS = 10
_PROJECT = Path(__file__).parents[1]
_RUN = """
import platform
from sim.run import RunOptions, run_scenario
from sim.sabotage import SAFEGUARDS
from sim.scenario import find, load_all

scenario = load_all(find("quickstart"), ["fleet.py.count=20"], variants=SAFEGUARDS)[0]
outcome = run_scenario(scenario, RunOptions(reference="quickstart", time="virtual", broker="model"))
print(platform.python_version(), outcome.trace.digest())
"""


def prepared(interpreter: str, scratch: Path) -> str:
    """An interpreter of the same kind that has this project."""
    folder = scratch / Path(interpreter).name
    subprocess.run([interpreter, "-m", "venv", folder], check=True)
    python = str(folder / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "-q", "-e", f"{_PROJECT}[sim]"], check=True)
    return python


def digest(python: str, hash_seed: int) -> tuple[str, str]:
    """Version of the interpreter, and the digest of the run in a process of it."""
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
    ran = subprocess.run(
        [python, "-c", _RUN], cwd=_PROJECT, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    version, found = ran.stdout.split()
    return version, found


def main(interpreters: list[str]) -> int:
    """Run, compare, say so; the exit status."""
    found = set()
    with tempfile.TemporaryDirectory(prefix="dcompute-interpreters-") as scratch:
        pythons = [sys.executable, *(prepared(name, Path(scratch)) for name in interpreters)]
        for number in range(RUNS):
            version, seen = digest(pythons[number % len(pythons)], number)
            print(f"run {number + 1:>2}  Python {version:<8}  {seen}", flush=True)
            found.add(seen)
    print("one digest" if len(found) == 1 else f"{len(found)} different digests")
    return 0 if len(found) == 1 else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
