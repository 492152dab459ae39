"""A program's own config.py beside a run's settings: merged, or refused with the line that stands in the way.

The run's settings are written behind the program's own, so they count where both give one. What a program
made of a setting before that (`URL = "mqtt://" + MQTT_HOST`) would keep the old value, and the board would
look for its owner's broker: that is refused. Functions look names up when they are called, and are well.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection
from pathlib import Path

MARK = "\n# From here on: dcompute's testbed, for the length of one run.\n"

SETTINGS = (
    "WIFI_SSID",
    "WIFI_PASSWORD",
    "STATIC_IP",
    "MQTT_HOST",
    "MQTT_PORT",
    "MQTT_USER",
    "MQTT_PASSWORD",
    "MQTT_TLS",
    "NODE_TYPE",
    "NODE_ID",
    "NAMESPACE",
    "MQTT_KEEPALIVE",
    "POLL_MS",
)
"""What a run tells every board, whatever program is on it."""

SETTING = re.compile(r"\{([A-Z][A-Z0-9_]*)\}")
"""One of them where a group's `config` names it."""


def obstacle(folder: Path, given: Collection[str]) -> tuple[str, str] | None:
    """Tell why the config of the program in `folder` cannot be merged with the run's, and what would help.

    Args:
        folder: with the program's files.
        given: names that the run or the group gives.
    """
    if (folder / "config.mpy").is_file():
        return "config.mpy is compiled: no settings can be added to it", "put its config.py there"
    own = folder / "config.py"
    if not own.is_file():
        return None
    try:
        tree = ast.parse(own.read_bytes())
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        return f"config.py, line {line}: {getattr(error, 'msg', error)}", "it has to be a module of settings"
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            continue
        names = [node for node in ast.walk(statement) if isinstance(node, ast.Name)]
        made = sorted({name.id for name in names if isinstance(name.ctx, ast.Store)} - set(given))
        used = [name for name in names if isinstance(name.ctx, ast.Load) and name.id in given]
        if made and used:
            what = f"{', '.join(made)} is made of {used[0].id}"
            return (
                f"config.py, line {used[0].lineno}: {what}, which the run replaces after that",
                f"say in the group `config: {{{made[0]}: ...}}`, with `{{{used[0].id}}}` for the run's own",
            )
    return None


def merged(own: str, settings: str) -> str:
    """Return the text of a config.py: the program's own, and then the run's settings, which count."""
    return f"{own.rstrip()}\n{MARK}{settings}" if own.strip() else settings
