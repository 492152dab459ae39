"""What can go wrong with a deployment beside what a board does (`hardware.board_errors`)."""

from __future__ import annotations

from dcompute_sim.hardware.board_errors import FAILED, MISSING, BoardError

OK, INVALID = 0, 2

__all__ = ["FAILED", "INVALID", "MISSING", "OK", "Damaged", "DeployError", "InvalidInput", "SomethingMissing"]


class DeployError(BoardError):
    """A board did not take its firmware, or did not come up with it; says what to do."""


class Damaged(DeployError):
    """Files on the board are not what was sent."""


class InvalidInput(DeployError):
    """What was asked for cannot be meant: files, settings, names."""

    status = INVALID


class SomethingMissing(DeployError):
    """A broker or a program that is needed is not there."""

    status = MISSING
