"""How an extra of this very installation is installed.

No index has dcompute: it comes from a clone, a wheel or a git address, and pip writes down which
(`direct_url.json`, PEP 610). So whoever lacks an extra is told the command that gets it from the same place.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname


def install_command(extra: str) -> str:
    """Return the command that installs an extra from where dcompute was installed from.

    Args:
        extra: its name in pyproject.toml, such as `sim`.
    """
    try:
        written = distribution("dcompute").read_text("direct_url.json")
    except PackageNotFoundError:
        written = None
    return command_for(extra, json.loads(written) if written else {})


def command_for(extra: str, origin: Mapping[str, Any]) -> str:
    """Return the command for an extra of an installation from `origin`, a direct URL as in PEP 610."""
    url = str(origin.get("url", "ADDRESS"))
    if "dir_info" in origin:
        folder = url2pathname(urlsplit(url).path)
        editable = "-e " if origin["dir_info"].get("editable") else ""
        return f"pip install {editable}{shlex.quote(f'{folder}[{extra}]')}"
    if "vcs_info" in origin:
        revision = origin["vcs_info"].get("requested_revision")
        url = f"{origin['vcs_info']['vcs']}+{url}" + (f"@{revision}" if revision else "")
    return f"pip install {shlex.quote(f'dcompute[{extra}] @ {url}')}"


__all__ = ["command_for", "install_command"]
