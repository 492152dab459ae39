"""The console that all commands print on: how wide, how coloured, and for whom."""

from __future__ import annotations

import os
import re
import sys
from typing import IO, Any, Literal, cast

from rich.console import Console

Mode = Literal["normal", "plain", "quiet"]
_PIPED_COLUMNS = 10_000


def make_console(mode: Mode = "normal", file: IO[str] | None = None) -> Console:
    """Return a console for `mode`; to standard output unless `file` is given. NO_COLOR: no escapes at all.

    What is no terminal gets lines as long as they need be, for it is read by line, and no blanks at their
    ends; unless COLUMNS says how long.
    """
    piped = not (file or sys.stdout).isatty()
    width = _PIPED_COLUMNS if piped and "COLUMNS" not in os.environ else None
    file = cast(IO[str], _Trimmed(file)) if piped else file
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


class _Trimmed:
    """A file, or standard output, without the blanks that cells of tables are filled up with."""

    def __init__(self, file: IO[str] | None) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file or sys.stdout, name)

    def write(self, text: str) -> int:
        return (self._file or sys.stdout).write(re.sub(" +\n", "\n", text))
