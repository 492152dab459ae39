"""Checks: properties of a run, judged from its trace and nothing else.

`CHECKS` maps the key used under `expect:` in a scenario to the check's model.
"""

from __future__ import annotations

from dcompute_sim.checks.all_tasks_finished import AllTasksFinished
from dcompute_sim.checks.bounded_queue import BoundedQueue
from dcompute_sim.checks.callback_once import CallbackOnce
from dcompute_sim.checks.check import Check, CheckOutcome, Measurement, Status
from dcompute_sim.checks.connection_rate import ConnectionRate
from dcompute_sim.checks.dead_within import DeadWithin
from dcompute_sim.checks.fifo_within_priority import FifoWithinPriority
from dcompute_sim.checks.final_status import FinalStatus
from dcompute_sim.checks.latency import Latency
from dcompute_sim.checks.memory_below import MemoryBelow
from dcompute_sim.checks.no_duplicate_results import NoDuplicateResults
from dcompute_sim.checks.no_errors_in_log import NoErrorsInLog
from dcompute_sim.checks.no_false_deaths import NoFalseDeaths
from dcompute_sim.checks.no_lost_results import NoLostResults
from dcompute_sim.checks.no_lost_tasks import NoLostTasks
from dcompute_sim.checks.priority_order import PriorityOrder
from dcompute_sim.checks.recovers_within import RecoversWithin
from dcompute_sim.checks.results_match import ResultsMatch
from dcompute_sim.checks.retained_consistent import RetainedConsistent
from dcompute_sim.checks.sometimes import Sometimes
from dcompute_sim.checks.status_history import StatusHistory
from dcompute_sim.checks.updated import Updated

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

__all__ = ["CHECKS", "Check", "CheckOutcome", "Measurement", "Status"]
