"""The emulator's own modules, compiled once: a board starts in two thirds of the time.

Hundreds of boards start at once, and compiling the same sources in each of them takes a third of their time.
Where there is no mpy-cross the sources serve as well.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

from dcompute_sim.micropython import cache as store

SHIMS = Path(__file__).parent / "shims"
_ENTRY = "shims-"  # one for each version of the sources that a checkout went through
_UNUSED_DAYS = 14
_START = "boot.py"  # MicroPython is given its name, which must be a source


def shim_sources() -> list[Path]:
    """List the sources of the modules that an ESP32 has built in, as the emulator has them."""
    return sorted(SHIMS.rglob("*.py"))


def compiled_shims(micropython: tuple[str, ...], mpy_cross: Path, cache: Path) -> Path:
    """Return a folder like SHIMS with compiled modules in it, made when the sources or a program changed.

    Raises ValueError when this MicroPython does not take what this mpy-cross makes.
    """
    sources = shim_sources()
    state = hashlib.sha256(mpy_cross.read_bytes())
    for part in (*micropython, *(f"{p.relative_to(SHIMS)}={store.sha256(p)}" for p in sources)):
        state.update(part.encode() + b"\0")

    def build(entry: Path) -> None:
        for source in sources:
            name = source.relative_to(SHIMS)
            target = entry / name
            target.parent.mkdir(exist_ok=True)
            if name.name == _START:
                shutil.copy(source, target)
            else:
                argv = [str(mpy_cross), "-s", f"shims/{name}", "-o", str(target.with_suffix(".mpy"))]
                done = subprocess.run([*argv, str(source)], capture_output=True, text=True, check=False)
                if done.returncode != 0:
                    raise ValueError(f"mpy-cross refuses shims/{name}: {done.stderr.strip()}")
        path = {"MICROPYPATH": str(entry)}
        loading = [*micropython, "-c", "import _board"]
        done = subprocess.run(loading, env=path, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ValueError(f"MicroPython does not load what mpy-cross made: {done.stderr.strip()[-200:]}")

    entry = store.obtain(cache, f"{_ENTRY}{state.hexdigest()[:16]}", build)
    store.touch(entry)
    store.prune(cache, _ENTRY, _UNUSED_DAYS)
    return entry
