"""Checks: properties of a run, judged from its trace and nothing else.

`CHECKS` maps the key used under `expect:` in a scenario to the check's model.
"""

from __future__ import annotations

from sim.checks.all_tasks_finished import AllTasksFinished
from sim.checks.base import Check, Distribution, Outcome, Status
from sim.checks.callback_once import CallbackOnce
from sim.checks.dead_within import DeadWithin
from sim.checks.fifo_within_priority import FifoWithinPriority
from sim.checks.no_false_deaths import NoFalseDeaths
from sim.checks.priority_order import PriorityOrder

_ALL: tuple[type[Check], ...] = (
    DeadWithin,
    NoFalseDeaths,
    CallbackOnce,
    PriorityOrder,
    FifoWithinPriority,
    AllTasksFinished,
)

CHECKS: dict[str, type[Check]] = {check.name: check for check in _ALL}

__all__ = ["CHECKS", "Check", "Distribution", "Outcome", "Status"]
