"""The terms under which a task is submitted, checked before anything is promised."""

from __future__ import annotations

from collections.abc import Mapping

from dcompute.executor.choice import check_where
from dcompute.node_core import DEFAULT_PRIORITY, check_priority


class Terms:
    """What `FleetExecutor.submit` takes beside the call; there it is said what each means.

    Raises:
        ValueError: for what means nothing, or contradicts itself.
    """

    __slots__ = ("once", "priority", "retries", "speculate_s", "timeout_s", "where")

    def __init__(
        self,
        *,
        priority: int = DEFAULT_PRIORITY,
        where: Mapping[str, object] | None = None,
        timeout: float | None = None,
        retries: int | None = None,
        once: bool = False,
        speculate: float | None = None,
    ) -> None:
        check_priority(priority)
        check_where(where or {})
        if not (timeout is speculate is retries is None):  # as it mostly is, and this is asked of each task
            _check_numbers(timeout=timeout, speculate=speculate, retries=retries)
        if retries is not None and retries < 0:
            raise ValueError(f"retries is at least 0, not {retries}")
        if once and speculate is not None:
            raise ValueError("a task that is to run once is not tried on two nodes: no `speculate`")
        self.priority = priority
        self.where = dict(where or {})
        self.timeout_s = timeout
        self.retries = retries
        self.once = once
        self.speculate_s = speculate


def _check_numbers(**given: object) -> None:
    for name, value in given.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise ValueError(f"{name} is a number, not {value!r}")


__all__ = ["Terms"]
