"""FleetExecutor: work done by a fleet, each task once, whatever dies on the way. See docs/executor.md.

Loaded name by name, when asked for: whoever wants the state machine alone (`core`) gets no database with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcompute._lazy import lazy

if TYPE_CHECKING:
    from dcompute.executor.fleet import FleetExecutor as FleetExecutor
    from dcompute.executor.future import FleetFuture as FleetFuture
    from dcompute.executor.map_results import MapResults as MapResults
    from dcompute.executor.task_errors import Expired as Expired
    from dcompute.executor.task_errors import JournalError as JournalError
    from dcompute.executor.task_errors import NodeLost as NodeLost
    from dcompute.executor.task_errors import OutcomeUnknown as OutcomeUnknown
    from dcompute.executor.task_errors import Quarantined as Quarantined
    from dcompute.executor.task_errors import Refused as Refused
    from dcompute.executor.task_errors import TaskError as TaskError
    from dcompute.executor.task_errors import TaskFailed as TaskFailed

HOMES = {
    ".fleet": ("FleetExecutor",),
    ".future": ("FleetFuture",),
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
}
"""Its names by the module that each lies in; `dcompute` has them from here."""

__all__ = [name for names in HOMES.values() for name in names]

__getattr__ = lazy(globals(), HOMES)
