"""The log of production code, and which repetition of a warning is worth a line in it."""

from __future__ import annotations

import logging

log = logging.getLogger("dcompute")


def is_power_of_two(count: int) -> bool:
    """Tell whether the `count`-th repetition is worth a line.

    A stranger on the broker must not be able to flood the log.
    """
    return count & (count - 1) == 0
