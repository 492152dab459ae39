"""A private folder of verified files that several processes may fill at the same time.

An entry is a folder built elsewhere and renamed into place, so a reader sees all of it or nothing. Its
manifest holds the SHA-256 of every file: a damaged entry counts as absent and is built again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import platformdirs

MANIFEST = "manifest.json"


def default_cache() -> Path:
    """Return where the emulator's files live for this user."""
    return platformdirs.user_cache_path("dcompute") / "micropython"


def sha256(path: Path) -> str:
    """Return the hex digest of one file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def intact(entry: Path) -> bool:
    """Say whether `entry` exists and every file still has the digest its manifest names."""
    try:
        manifest = json.loads((entry / MANIFEST).read_text())
        return bool(manifest) and all(sha256(entry / name) == digest for name, digest in manifest.items())
    except (OSError, ValueError, AttributeError):
        return False


def obtain(cache: Path, name: str, build: Callable[[Path], None]) -> Path:
    """Return the intact entry `name`, calling `build(folder)` to make it when there is none.

    Only one process builds; the others wait for it and then use what it made.
    """
    entry = cache / name
    if intact(entry):
        return entry
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if intact(entry):  # another process built it while we waited
            return entry
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=cache) as scratch:
            fresh = Path(scratch) / "entry"
            fresh.mkdir()
            build(fresh)
            digests = {str(f.relative_to(fresh)): sha256(f) for f in sorted(fresh.rglob("*")) if f.is_file()}
            (fresh / MANIFEST).write_text(json.dumps(digests, indent=1) + "\n")
            if entry.exists():
                os.rename(entry, Path(scratch) / "damaged")
            os.rename(fresh, entry)
    return entry


def prune(cache: Path, prefix: str, unused_days: float) -> None:
    """Remove the entries named `prefix...` that no `touch` has named for so long; others may be in use."""
    oldest_s = time.time() - unused_days * 86400
    for entry in cache.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):  # another process was quicker
            if entry.stat().st_mtime >= oldest_s:
                continue
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            elif not (cache / entry.stem).exists():  # the lock of an entry that is gone
                entry.unlink()


def touch(entry: Path) -> None:
    """Remember that `entry` is in use; where the cache cannot be written to, nothing is pruned either."""
    with contextlib.suppress(OSError):
        os.utime(entry)


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Yield a temporary folder for one download."""
    with tempfile.TemporaryDirectory(prefix="dcompute-") as folder:
        yield Path(folder)
