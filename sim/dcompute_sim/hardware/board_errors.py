"""What can go wrong between us and a board on a serial port: which, where, why, and what helps."""

from __future__ import annotations

FAILED, MISSING = 1, 3


class BoardError(RuntimeError):
    """A board cannot be used, or did not do what was asked of it.

    Attributes:
        status: the exit status of a command that ends with it.
    """

    status = FAILED


class PortMissing(BoardError):
    """The port is not there, is in use, or must not be opened."""

    status = MISSING


class NoAnswer(BoardError):
    """Whatever is at the port does not show MicroPython's prompt."""


class FlashFull(BoardError):
    """The board's flash has no room."""


class BoardGone(BoardError):
    """The board stopped answering in the middle."""
