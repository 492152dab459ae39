"""Programs out of Debian's archive, above all MicroPython's unix port, without root and without touching the
system's packages.

apt is run with lists, cache and status of its own, so the newer release's libc never meets the system's; it
checks the archive's signatures as always. The program is started through the dynamic linker it came with, so
one of another architecture runs wherever the kernel takes it.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from dcompute_sim.micropython.unavailable import EmulatorUnavailable

SUITE = "trixie"  # the oldest Debian release that has a micropython package
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_TOOLS = ("apt-get", "dpkg-deb")


def fetch(into: Path, architecture: str | None = None) -> None:
    """Put `micropython`, its dynamic linker and the libraries it needs into `into`.

    Args:
        into: an empty folder.
        architecture: in Debian's words (`i386`); None: this system's own.

    Raises:
        EmulatorUnavailable: as `unpack`; or what came is not laid out as expected.
    """
    with tempfile.TemporaryDirectory(prefix="dcompute-apt-") as scratch:
        unpack(["micropython"], Path(scratch), architecture)
        _collect(Path(scratch), into)


def unpack(packages: Sequence[str], root: Path, architecture: str | None = None) -> None:
    """Put the files of these packages, and of all they depend on, into `root`.

    Args:
        packages: their names.
        root: gets `usr/` and what else they hold.
        architecture: as of `fetch`.

    Raises:
        EmulatorUnavailable: this is no Debian, or none of its mirrors gave them.
    """
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        raise EmulatorUnavailable(f"{' and '.join(missing)} not found: this is not a Debian system")
    failures = []
    for mirror in mirrors():
        with tempfile.TemporaryDirectory(prefix="dcompute-apt-") as scratch:
            try:
                for package in _download(packages, mirror, Path(scratch), architecture):
                    _run(["dpkg-deb", "-x", str(package), str(root)])
                return
            except subprocess.CalledProcessError as error:
                failures.append(f"{mirror}: {_last_line(error.stderr)}")
    told = "; ".join(failures) or "no mirror configured"
    raise EmulatorUnavailable(f"no Debian mirror of apt's gave {' and '.join(packages)} ({told})")


def mirrors() -> list[str]:
    """List Debian mirrors as apt is set up here: those that serve this system's own release."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    if release.get("ID") != "debian":
        raise EmulatorUnavailable(f"this is {release.get('PRETTY_NAME', 'not Debian')}, not Debian")
    # `indextargets` names only mirrors whose lists are on disk, which container images leave out.
    listed = _run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)/dists/$(RELEASE)/", "Created-By: Packages"]
    )
    planned = _run(["apt-get", "update", "--print-uris"])
    pattern = rf"(\w+://\S+?|file:\S+?)/+dists/{re.escape(release.get('VERSION_CODENAME', SUITE))}/"
    return list(dict.fromkeys(re.findall(pattern, f"{listed}\n{planned}".replace("'", " "))))


def _download(packages: Sequence[str], mirror: str, scratch: Path, architecture: str | None) -> list[Path]:
    """Download the packages and all they depend on; apt resolves and verifies."""
    sources = scratch / "sources"
    cache = scratch / "cache"
    for folder in (sources, scratch / "lists/partial", cache / "archives/partial"):
        folder.mkdir(parents=True)
    (scratch / "status").touch()  # nothing is installed: every dependency is wanted
    signed_by = f"Signed-By: {_KEYRING}\n" if _KEYRING.exists() else ""
    (sources / "private.sources").write_text(
        f"Types: deb\nURIs: {mirror}\nSuites: {SUITE}\nComponents: main\n{signed_by}"
    )
    options = {
        "Dir::Etc::SourceList": "/dev/null",
        "Dir::Etc::SourceParts": sources,
        "Dir::State": scratch,
        "Dir::State::Lists": scratch / "lists",
        "Dir::State::status": scratch / "status",
        "Dir::Cache": cache,
        "Debug::NoLocking": "1",
        "APT::Sandbox::User": "",  # as root apt would drop to a user who may not read the private folder
        "Acquire::Languages": "none",
    }
    if architecture:
        options |= {"APT::Architecture": architecture, "APT::Architectures::": architecture}
    apt = ["apt-get", "-qq", *(f"-o{key}={value}" for key, value in options.items())]
    _run([*apt, "update"])
    _run([*apt, "install", "--yes", "--download-only", "--no-install-recommends", *packages])
    return sorted((cache / "archives").glob("*.deb"))


def _collect(root: Path, into: Path) -> None:
    """Copy the program, its linker and just the libraries the linker says it loads."""
    program = root / "usr/bin/micropython"
    linkers = sorted(p for p in (root / "usr/lib").rglob("ld-linux*.so.*") if p.is_file())
    if not linkers:
        raise EmulatorUnavailable(
            f"Debian's libc6 for this machine has no dynamic linker where expected ({root})"
        )
    libraries = linkers[0].resolve().parent
    listing = _run([str(linkers[0]), "--library-path", str(libraries), "--list", str(program)])
    shutil.copy(program, into / "micropython")
    shutil.copy(linkers[0], into / "ld.so")
    (into / "lib").mkdir()
    for loaded in re.findall(r"=> (\S+)", listing):
        if Path(loaded).is_relative_to(root):
            shutil.copy(loaded, into / "lib" / Path(loaded).name)


def _run(argv: Sequence[str]) -> str:
    done = subprocess.run(
        argv,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
    )
    return done.stdout


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return next((line for line in lines if line.startswith("E:")), lines[-1] if lines else "no output")
