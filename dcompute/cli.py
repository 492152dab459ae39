"""The `dcompute` command, and what other commands are to share with it.

`main` is the entry point and `app` the Typer application; the testbed adds its own commands to it. `grouped`
lets several commands share options as dataclasses; `Connection` is the one that says how a broker is reached.
"""

from dcompute._cli.app import Connection, app, main, password_for
from dcompute._cli.options import grouped

__all__ = ["Connection", "app", "grouped", "main", "password_for"]
