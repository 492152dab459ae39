"""The console that all commands print on: how wide, how coloured, and for whom."""

from __future__ import annotations

import os
import sys
from typing import IO, Literal

from rich.console import Console

Mode = Literal["normal", "plain", "quiet"]
_PIPED_COLUMNS = 10_000


def make_console(mode: Mode = "normal", file: IO[str] | None = None) -> Console:
    """A console for `mode`; to standard output unless `file` is given. NO_COLOR: no escapes at all.

    What is no terminal gets lines as long as they need be, for it is read by line; unless COLUMNS says how
    long.
    """
    piped = not (file or sys.stdout).isatty() and "COLUMNS" not in os.environ
    width = _PIPED_COLUMNS if piped else None
    if mode == "plain" or os.environ.get("NO_COLOR"):
        return Console(
            file=file,
            width=width,
            color_system=None,
            no_color=True,
            highlight=False,
            force_terminal=False,
            emoji=False,
        )
    return Console(file=file, width=width, highlight=False, emoji=False)
