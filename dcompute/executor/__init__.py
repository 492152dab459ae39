"""FleetExecutor: work done by a fleet, each task once, whatever dies on the way. See docs/executor.md.

Loaded name by name, when asked for: whoever wants the state machine alone (`core`) gets no database with it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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

_HOME = {"FleetExecutor": "fleet", "FleetFuture": "future", "Journal": "journal", "MapResults": "map_results"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME.get(name, 'task_errors')}"), name)
    globals()[name] = value
    return value
