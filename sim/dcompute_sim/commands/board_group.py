"""`dcompute board`: virtual boards, and a look at real ones."""

from __future__ import annotations

from dcompute_sim.hardware.check_command import check
from dcompute_sim.virtual_boards.cli import app as board

board.command("check")(check)

__all__ = ["board"]
