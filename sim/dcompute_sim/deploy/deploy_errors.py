"""What can go wrong with a deployment, each kind with its exit status."""

from __future__ import annotations

OK, FAILED, INVALID, MISSING = 0, 1, 2, 3


class DeployError(Exception):
    """A board did not take its firmware, or did not come up with it; says what to do."""

    status = FAILED


class InvalidInput(DeployError):
    """What was asked for cannot be meant: files, settings, names."""

    status = INVALID


class SomethingMissing(DeployError):
    """A port, a broker or a program that is needed is not there."""

    status = MISSING
