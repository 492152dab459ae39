"""FleetExecutor: work done by a fleet, each task once, whatever dies on the way. See docs/executor.md.

Loaded name by name, when asked for: whoever wants the state machine alone (`core`) gets no database with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcompute._lazy import lazy

if TYPE_CHECKING:
    from dcompute.executor.fleet import FleetExecutor
    from dcompute.executor.future import FleetFuture
    from dcompute.executor.journal import Journal
    from dcompute.executor.map_results import MapResults
    from dcompute.executor.task_errors import (
        Expired,
        JournalError,
        NodeLost,
        OutcomeUnknown,
        Quarantined,
        Refused,
        TaskError,
        TaskFailed,
    )

__all__ = [  # noqa: RUF022 - by what a reader looks for first
    "FleetExecutor",
    "FleetFuture",
    "Journal",
    "MapResults",
    "TaskError",
    "TaskFailed",
    "NodeLost",
    "OutcomeUnknown",
    "Quarantined",
    "Expired",
    "Refused",
    "JournalError",
]

__getattr__ = lazy(
    globals(),
    {
        ".fleet": ("FleetExecutor",),
        ".future": ("FleetFuture",),
        ".journal": ("Journal",),
        ".map_results": ("MapResults",),
        ".task_errors": (
            "Expired",
            "JournalError",
            "NodeLost",
            "OutcomeUnknown",
            "Quarantined",
            "Refused",
            "TaskError",
            "TaskFailed",
        ),
    },
)
