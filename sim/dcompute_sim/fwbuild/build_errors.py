"""What the building of firmware cannot do, said with the name of the file, module or setting."""

from __future__ import annotations


class FirmwareError(ValueError):
    """The firmware as given cannot be put on a board; the message names file or setting."""


class BuildError(FirmwareError):
    """The sources use something that is not merged or compiled; the message names it."""
