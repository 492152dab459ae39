"""Checks: properties of a run, judged from its trace and nothing else.

`CHECKS` maps the key used under `expect:` in a scenario to the check's model.
"""

from __future__ import annotations

from sim.checks.all_tasks_finished import AllTasksFinished
from sim.checks.base import Check, Distribution, Outcome, Status
from sim.checks.bounded_queue import BoundedQueue
from sim.checks.callback_once import CallbackOnce
from sim.checks.connection_rate import ConnectionRate
from sim.checks.dead_within import DeadWithin
from sim.checks.fifo_within_priority import FifoWithinPriority
from sim.checks.final_status import FinalStatus
from sim.checks.latency import Latency
from sim.checks.memory_below import MemoryBelow
from sim.checks.no_duplicate_results import NoDuplicateResults
from sim.checks.no_errors_in_log import NoErrorsInLog
from sim.checks.no_false_deaths import NoFalseDeaths
from sim.checks.no_lost_results import NoLostResults
from sim.checks.no_lost_tasks import NoLostTasks
from sim.checks.priority_order import PriorityOrder
from sim.checks.recovers_within import RecoversWithin
from sim.checks.results_match import ResultsMatch
from sim.checks.retained_consistent import RetainedConsistent
from sim.checks.sometimes import Sometimes
from sim.checks.status_history import StatusHistory
from sim.checks.updated import Updated

_ALL: tuple[type[Check], ...] = (
    DeadWithin,
    NoFalseDeaths,
    CallbackOnce,
    PriorityOrder,
    FifoWithinPriority,
    AllTasksFinished,
    NoLostTasks,
    NoLostResults,
    NoDuplicateResults,
    ResultsMatch,
    RecoversWithin,
    FinalStatus,
    StatusHistory,
    RetainedConsistent,
    Latency,
    MemoryBelow,
    BoundedQueue,
    ConnectionRate,
    NoErrorsInLog,
    Updated,
    Sometimes,
)

CHECKS: dict[str, type[Check]] = {check.name: check for check in _ALL}

__all__ = ["CHECKS", "Check", "Distribution", "Outcome", "Status"]
