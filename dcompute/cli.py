"""The `dcompute` command, and what other commands are to share with it.

`main` is the entry point and `app` the Typer application; the testbed adds its own commands to it. `grouped`
lets several commands share options as dataclasses; `Connection` is the one that says how a broker is reached.

The others are loaded when asked for, so that `main` is there before anything that takes its time: until the
command begins there is nothing to clear away, and Ctrl-C just ends it, without a traceback out of an import.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from dcompute._lazy import lazy

if TYPE_CHECKING:
    from dcompute._cli.app import Connection, app, password_for
    from dcompute._cli.options import grouped

__all__ = ["Connection", "app", "grouped", "main", "password_for"]


def main() -> None:
    """Run the command that the words of the command line ask for."""
    heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else it is ignored, as by nohup
    if heard:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from dcompute._cli.app import loaded

    command = loaded()
    if heard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    command()


__getattr__ = lazy(
    globals(), {"._cli.app": ("Connection", "app", "password_for"), "._cli.options": ("grouped",)}
)
