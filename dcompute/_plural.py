"""Counts in texts for people: `1 board`, `3 boards`."""

from __future__ import annotations


def noun(count: float, one: str, many: str = "") -> str:
    """Tell what is counted, in its number: `node` of 1, `nodes` of 3; also a verb, `was` of 1, `were` of 3.

    Args:
        many: for more than one; `one` with an s when left out.
    """
    return one if count == 1 else many or one + "s"


def number_of(count: int, one: str, many: str = "") -> str:
    """Return the count with its noun: `1 node`, `3 nodes`, `1000 nodes`."""
    return f"{count} {noun(count, one, many)}"


__all__ = ["noun", "number_of"]
